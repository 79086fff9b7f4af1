"""Several processes on one GPU at the same moment: NVIDIA's Multi-Process Service (MPS).

Without it a GPU takes turns between processes, and the small kernels of a fit leave most of it
idle. The service is a daemon, here one of our own for a single run. It must not outlive us, however
we end: this module is a program, too, the guardian, which starts the daemon and stops it when the
pipe from us is closed.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

_CONTROL = "nvidia-cuda-mps-control"
_PIPES, _LOGS = "CUDA_MPS_PIPE_DIRECTORY", "CUDA_MPS_LOG_DIRECTORY"
_USUAL = Path("/tmp/nvidia-mps/control")  # noqa: S108 - where CUDA itself looks for a daemon
_SECONDS = 10.0  # for each step of starting or stopping the daemon
# Where a process cannot reach the daemon, CUDA may fail instead of doing without.
_TRY = """
import ctypes
cuda, context = ctypes.CDLL("libcuda.so.1"), ctypes.c_void_p()
raise SystemExit(cuda.cuInit(0) or cuda.cuDevicePrimaryCtxRetain(ctypes.byref(context), 0))
"""


def is_there() -> bool:
    """Tell whether processes may use a GPU of this machine at the same moment."""
    return _is_running() or (sys.platform == "linux" and shutil.which(_CONTROL) is not None)


@contextmanager
def shared_gpus(devices: Sequence[str]) -> Iterator[None]:
    """Let the processes that are started meanwhile use GPUs at the same moment, where that works.

    Args:
        devices: of the processes, one for each, as `Settings.device` has them.
    """
    gpus = Counter(device for device in devices if device != "cpu")
    shared = max(gpus.values(), default=0) > 1
    if not shared or _is_running() or not is_there():
        yield
        return
    guardian = subprocess.Popen(  # noqa: S603 - our own program
        [sys.executable, "-P", "-m", "dip_batch.mps", sys.executable, "-I", "-c", _TRY],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,  # what ends us from a terminal must not end it before its work
    )
    with guardian:  # at its end closes the pipe, and waits
        assert guardian.stdout is not None
        folder = guardian.stdout.readline().strip()
        if folder:
            os.environ[_PIPES] = folder
        try:
            yield
        finally:
            os.environ.pop(_PIPES, None)


def _is_running() -> bool:
    return _PIPES in os.environ or _USUAL.exists()


def main(attempt: Sequence[str]) -> int:
    """Keep a daemon for as long as stdin is open; the folder of its pipes is printed if it works.

    Args:
        attempt: command that fails where a process cannot use the GPU beside others.
    """
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # when it ends is the caller's to say
    with tempfile.TemporaryDirectory(prefix="dip-mps-", ignore_cleanup_errors=True) as folder:
        environment = os.environ | {_PIPES: folder, _LOGS: folder}
        # The daemon numbers what it sees anew, and the processes choose from that.
        hiding = "CUDA_VISIBLE_DEVICES"
        everything = {name: value for name, value in environment.items() if name != hiding}
        try:
            _run([_CONTROL, "-d"], everything)
            _run(attempt, environment)
            print(folder, flush=True)  # noqa: T201 - that is how the caller is told
            sys.stdin.read()
        except (OSError, subprocess.SubprocessError):
            return 1
        finally:
            with suppress(OSError, subprocess.SubprocessError):
                _run([_CONTROL], everything, "quit -t 2\n")
    return 0


def _run(command: Sequence[str], environment: dict[str, str], text: str = "") -> None:
    subprocess.run(  # noqa: S603 - no shell
        command,
        env=environment,
        input=text,
        text=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        timeout=_SECONDS,
        check=True,
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
