"""One engine process: its pipes, its environment, and how it ends.

Standard library only: GIMP's own Python runs this file too. All waiting happens on threads of
this module, so that Ctrl+C or a pausing consumer can never tear a frame apart:

    keeper   starts the process and waits for its end (no zombies); the kernel ends the engine
             when the thread that started it ends, so that thread has to live as long
    stdout   reads frames into a queue
    stderr   keeps the last lines and writes the log
"""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from concurrent.futures import Future
from pathlib import Path
from typing import IO, Any

from dip_engine.errors import DipError, OutputError, ProtocolError
from dip_engine.protocol import Frame, read_frame, write_frame

# What GIMP, an AppImage or a .app bundle set for their own Python and libraries.
_FOREIGN = (
    "PYTHONHOME",
    "PYTHONPATH",
    "PYTHONSTARTUP",
    "PYTHONEXECUTABLE",
    "__PYVENV_LAUNCHER__",
    "LD_LIBRARY_PATH",
    "LD_PRELOAD",
    "DYLD_LIBRARY_PATH",
    "GI_TYPELIB_PATH",
    "GEGL_PATH",
    "BABL_PATH",
)
# glibc maps and faults in every large tensor anew in each iteration unless told to keep memory.
# OpenMP threads that sleep between the many short steps of a fit lose a third of their time in
# waking up; those that spin for long make it several times slower where another program wants the
# core. So they spin for a little (libgomp; other OpenMP libraries go by the policy).
_TUNING = {
    "OMP_WAIT_POLICY": "PASSIVE",
    "GOMP_SPINCOUNT": "5000",
    "MALLOC_ARENA_MAX": "1",
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": "100000000000",
    "MALLOC_TOP_PAD_": "268435456",
    "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1",
}
_POLL = 0.5  # seconds; waits are cut into these, so that Ctrl+C works on Windows too
_GRACE = 2.0  # seconds an engine has to end by itself once its pipe is closed


class EngineProcess:
    """One engine process and the threads around its pipes; it is started at once.

    Args:
        command: starts the engine.
        foreign: the engine's Python is not the one that runs here, so paths that were set for
            this one would mislead it; they are left out of its environment.
        log: file to which the engine's stderr is appended, or None.

    Attributes:
        last_answer: number of the last job that the engine finished, or None.

    Raises:
        ProtocolError: it cannot be started.
        OutputError: the log cannot be opened.
    """

    def __init__(self, command: list[str], *, foreign: bool, log: Path | None) -> None:
        self.last_answer: int | None = None
        self._log = _open_log(log)
        self._killed = False  # from then on of no use, though the kernel may need a moment
        self._frames: queue.SimpleQueue[Frame | DipError | None] = queue.SimpleQueue()
        self._last_lines: deque[bytes] = deque(maxlen=50)
        self._sending = threading.RLock()  # re-entrant: a signal handler may send a cancel
        self._ended = threading.Event()
        started: Future[subprocess.Popen[bytes]] = Future()
        environment = _environment(foreign=foreign)
        threading.Thread(
            target=self._keep, args=(command, environment, started), daemon=True, name="keeper"
        ).start()
        try:
            self._popen = started.result()
        except (OSError, ValueError) as error:
            if self._log is not None:
                self._log.close()
            reason = getattr(error, "strerror", None) or str(error)
            raise ProtocolError(
                f"The engine {command[0]} cannot be started: {reason}.",
                "Check that it is installed: run install.sh again.",
            ) from error
        self._readers = [
            threading.Thread(target=self._read_frames, daemon=True, name="stdout"),
            threading.Thread(target=self._read_stderr, daemon=True, name="stderr"),
        ]
        for reader in self._readers:
            reader.start()

    @property
    def alive(self) -> bool:
        """True until the process has ended or was killed."""
        return not (self._killed or self._ended.is_set())

    @property
    def pid(self) -> int:
        """Process id, also after the end."""
        return self._popen.pid

    def send(self, header: dict[str, Any]) -> None:
        """Send a frame; that the process is gone is noticed where its answer is read."""
        with self._sending, contextlib.suppress(OSError, ValueError):
            write_frame(_pipe(self._popen.stdin), header)

    def next_frame(self, timeout: float | None = None) -> Frame | None:
        """Return the next frame, or None when the process has ended.

        Raises:
            ProtocolError: what came is no frame; nothing after it can be read.
            TimeoutError: nothing came within so many seconds.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            ended = self._ended.is_set()  # asked first: frames may have come before the end
            try:
                frame = self._frames.get(timeout=_POLL)
            except queue.Empty:
                if ended:  # a child of the engine may hold the pipe open
                    return None
                if deadline is not None and time.monotonic() > deadline:
                    raise TimeoutError from None
                continue
            if isinstance(frame, DipError):
                raise frame
            return frame

    def kill(self) -> None:
        """End the process at once; may be called again and from any thread."""
        self._killed = True
        if not self._ended.is_set():
            with contextlib.suppress(OSError):
                self._popen.kill()

    def close(self) -> None:
        """End the process, first kindly, and wait for it."""
        with self._sending, contextlib.suppress(OSError):
            _pipe(self._popen.stdin).close()
        if not self._ended.wait(_GRACE):
            self.kill()
            self._ended.wait(_GRACE)
        for reader in self._readers:
            reader.join(_GRACE)

    def how_it_ended(self) -> str:
        """Return a phrase such as ``was killed by SIGSEGV``."""
        if not self._ended.wait(_GRACE):
            self.kill()
            return "closed its output"
        code = self._popen.returncode
        if code >= 0:
            return f"ended with exit code {code}"
        try:
            return f"was killed by {signal.Signals(-code).name}"
        except ValueError:
            return f"was killed by signal {-code}"

    def last_words(self) -> str:
        """Return the last line of stderr that tells something, or an empty string."""
        self._readers[-1].join(_GRACE if self._ended.is_set() else 0.0)
        # A crash report of Python ends in a stack, its threads and a list of modules.
        noise = (b" ", b"Extension modules:", b"Current thread", b"Thread 0x")
        for line in reversed(list(self._last_lines)):
            if line.strip() and not line.startswith(noise):
                return line.decode("utf-8", "replace").strip()[:300]
        return ""

    def _keep(
        self,
        command: list[str],
        environment: dict[str, str],
        started: Future[subprocess.Popen[bytes]],
    ) -> None:
        flags = 0
        if sys.platform == "win32":
            flags = subprocess.CREATE_NO_WINDOW  # also keeps Ctrl+C of our console away from it
        try:
            popen = subprocess.Popen(  # noqa: S603 - the command is the caller's, no shell
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                bufsize=0,
                env=environment,
                creationflags=flags,
            )
        except BaseException as error:  # raised again where it is awaited
            started.set_exception(error)
            return
        started.set_result(popen)
        popen.wait()
        self._ended.set()

    def _read_frames(self) -> None:
        with _pipe(self._popen.stdout) as stream:
            try:
                while frame := read_frame(stream):
                    if frame.header.get("kind") in ("result", "failed"):
                        self.last_answer = frame.header.get("id")
                    self._frames.put(frame)
                self._frames.put(None)
            except ProtocolError as error:
                self._frames.put(error)
            except OSError:
                self._frames.put(None)

    def _read_stderr(self) -> None:
        rest = b""
        with _pipe(self._popen.stderr) as stream, self._log or contextlib.nullcontext():
            while part := stream.read(65536):
                if self._log is not None:
                    with contextlib.suppress(OSError):  # a full disk must not stop the engine
                        self._log.write(part)
                *lines, rest = (rest + part).replace(b"\r", b"\n").split(b"\n")
                self._last_lines.extend(lines)
                rest = rest[-4096:]
            self._last_lines.append(rest)


def _environment(*, foreign: bool) -> dict[str, str]:
    environment = dict(os.environ)
    if foreign:
        for name in _FOREIGN:
            environment.pop(name, None)
    if sys.platform == "linux":
        environment = _TUNING | environment
    return environment


def _open_log(path: Path | None) -> IO[bytes] | None:
    if path is None:
        return None
    try:
        return path.open("ab", buffering=0)
    except OSError as error:
        raise OutputError(
            f"The log {path} cannot be written: {error.strerror}.", "Choose another file."
        ) from error


def _pipe(stream: IO[bytes] | None) -> IO[bytes]:
    assert stream is not None, "every pipe of the engine is opened with it"
    return stream
