"""Start an engine process, give it jobs, read its events.

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
from collections.abc import Generator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Self

from dip_engine.errors import Cancelled, DipError, InputError, OutputError, ProtocolError
from dip_engine.job import Event, Job, Result, event_from_json
from dip_engine.protocol import Frame, check_hello, read_frame, write_frame

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
# OpenMP threads that spin while they wait make a fit several times slower where another program
# wants the core.
_TUNING = {
    "OMP_WAIT_POLICY": "PASSIVE",
    "MALLOC_ARENA_MAX": "1",
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": "100000000000",
    "MALLOC_TOP_PAD_": "268435456",
    "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1",
}
_POLL = 0.5  # seconds; waits are cut into these, so that Ctrl+C works on Windows too
_GRACE = 2.0  # seconds an engine has to end by itself once its pipe is closed


class Engine:
    """An engine process that does one job after the other.

    The process starts with the first job, and anew with the next job after a crash or a kill. Use
    it as a context manager, or call `close`. `stop`, `cancel` and `close` may be called from any
    thread; `run` serves one consumer at a time.

    Args:
        command: starts the engine; None for this Python's own. A foreign command gets an
            environment without the Python and library paths of this process.
        log: file to which the engine's stderr is appended, or None.
        start_timeout: seconds until the engine has to have said hello.
        cancel_timeout: seconds after `cancel` until the process is killed.
    """

    def __init__(
        self,
        command: Sequence[str] | None = None,
        *,
        log: Path | None = None,
        start_timeout: float = 120.0,
        cancel_timeout: float = 2.0,
    ) -> None:
        # -P and not -I: what found our modules (user site, PYTHONPATH of a cluster) shall find
        # them again, but no file in the current folder may pose as a module.
        own = [sys.executable, "-P", "-X", "utf8", "-m", "dip_engine.worker"]
        self._command = own if command is None else list(command)
        self._foreign = command is not None
        self._log = log
        self._start_timeout = start_timeout
        self._cancel_timeout = cancel_timeout
        self._lock = threading.RLock()  # re-entrant: a signal handler may call `cancel`
        self._process: _Process | None = None
        self._run: _Run | None = None
        self._count = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def alive(self) -> bool:
        """True while there is a process."""
        process = self._process
        return process is not None and process.alive

    @property
    def pid(self) -> int | None:
        """Process id, or None while there is no process."""
        process = self._process
        return process.pid if process is not None and process.alive else None

    def run(self, job: Job) -> Generator[Event, None, None]:
        """Do a job: yield its events, last its `Result`.

        The job begins with the first ``next``. Closing the iterator before the result cancels it.

        Raises:
            Cancelled: `cancel` or `close` was called before the result was yielded.
            ProtocolError: the engine could not be started, died, or sent nonsense.
            DipError: what the engine says about the job.
            OutputError: the log cannot be written.
            RuntimeError: another job is running.
        """
        run = self._register(job)
        try:
            process = self._ready_process(run)
            self._submit(run, process)
            try:
                while not run.answered:
                    event = _next_event(run, process)
                    if event is not None:
                        yield event
            finally:
                if not run.answered:
                    self._abandon(run, process)
        finally:
            self._forget(run)

    def stop(self) -> None:
        """Ask for a result now, with the best picture so far; `run` still ends with it.

        Without a running job nothing happens.
        """
        with self._lock:
            run = self._run
            if run is None or run.stopped:
                return
            run.stopped = True
            if run.submitted_to is not None:
                run.submitted_to.send({"kind": "stop", "id": run.number})

    def cancel(self) -> None:
        """End the running job without a result; `run` raises `Cancelled`.

        The process is killed if it has not answered in time. Without a running job nothing
        happens.
        """
        with self._lock:
            run = self._run
            if run is None or run.cancelled:
                return
            run.cancelled = True
            if run.submitted_to is not None:
                run.submitted_to.send({"kind": "cancel", "id": run.number})
            run.killer = threading.Timer(self._cancel_timeout, self._kill_unless_answered, (run,))
            run.killer.daemon = True
            run.killer.start()

    def close(self) -> None:
        """End the process and wait for it; a running job is cancelled."""
        with self._lock:
            process, self._process = self._process, None
            if self._run is not None:
                self._run.cancelled = True
        if process is not None:
            process.close()

    def _register(self, job: Job) -> _Run:
        with self._lock:
            if self._run is not None:
                raise RuntimeError(f"The engine is still at work on {self._run.job.input}.")
            self._count += 1
            self._run = _Run(self._count, job)
            return self._run

    def _forget(self, run: _Run) -> None:
        with self._lock:
            if run.killer is not None:
                run.killer.cancel()
            self._run = None

    def _ready_process(self, run: _Run) -> _Process:
        """Return the living process, or start one and hear its hello."""
        with self._lock:
            process = self._process
            if process is not None and process.alive:
                return process
        if process is not None:
            process.close()
        process = _Process(self._command, engine_environment(foreign=self._foreign), self._log)
        with self._lock:
            self._process = process
        try:
            if run.cancelled:  # by now `close` and the timer of `cancel` may have missed it
                raise _cancelled(run)
            self._greet(run, process)
        except BaseException:
            process.close()
            raise
        return process

    def _greet(self, run: _Run, process: _Process) -> None:
        try:
            frame = process.next_frame(self._start_timeout)
        except TimeoutError:
            raise ProtocolError(
                f"The engine did not answer within {self._start_timeout:g} seconds.",
                process.last_words() or "Check the command of the engine.",
            ) from None
        if frame is None:
            raise _death(run, process, "before it was ready")
        check_hello(frame)

    def _submit(self, run: _Run, process: _Process) -> None:
        with self._lock:
            if run.cancelled:
                raise _cancelled(run)
            process.send({"kind": "job", "id": run.number, "job": run.job.to_json()})
            run.submitted_to = process
            if run.stopped:
                process.send({"kind": "stop", "id": run.number})

    def _abandon(self, run: _Run, process: _Process) -> None:
        """Cancel a job nobody waits for, and leave the process idle or dead."""
        try:
            self.cancel()
            while not run.answered:
                _next_event(run, process, self._cancel_timeout)
        except (DipError, TimeoutError):
            pass  # the answer to a cancel is an error; the caller has one of its own
        finally:
            if not run.answered:
                process.kill()

    def _kill_unless_answered(self, run: _Run) -> None:
        with self._lock:
            process = self._process
            if self._run is run and process is not None and process.last_answer != run.number:
                process.kill()


@dataclass(eq=False)
class _Run:
    """One call of `Engine.run`, with what was wished for it."""

    number: int
    job: Job
    submitted_to: _Process | None = None
    stopped: bool = False
    cancelled: bool = False
    answered: bool = False  # nothing more is to be read about this job
    killer: threading.Timer | None = None


class _Process:
    """One engine process and the threads around its pipes.

    Raises:
        ProtocolError: it cannot be started.
        OutputError: the log cannot be opened.
    """

    def __init__(self, command: list[str], environment: dict[str, str], log: Path | None) -> None:
        self.last_answer: int | None = None  # number of the last job it finished
        self._log = _open_log(log)
        self._killed = False  # from then on of no use, though the kernel may need a moment
        self._frames: queue.SimpleQueue[Frame | DipError | None] = queue.SimpleQueue()
        self._last_lines: deque[bytes] = deque(maxlen=50)
        self._sending = threading.RLock()  # re-entrant like the engine's
        self._ended = threading.Event()
        started: Future[subprocess.Popen[bytes]] = Future()
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
        return not (self._killed or self._ended.is_set())

    @property
    def pid(self) -> int:
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


def engine_environment(*, foreign: bool) -> dict[str, str]:
    """Return the environment of an engine process.

    Args:
        foreign: the engine's Python is not the one that runs here, so paths that were set for
            this one would mislead it.
    """
    environment = dict(os.environ)
    if foreign:
        for name in _FOREIGN:
            environment.pop(name, None)
    if sys.platform == "linux":
        environment = _TUNING | environment
    return environment


def _next_event(run: _Run, process: _Process, timeout: float | None = None) -> Event | None:
    """Return the next event, or None for one that nobody wants any more.

    Raises:
        DipError: the job ended without a result.
        TimeoutError: nothing came within so many seconds.
    """
    try:
        frame = process.next_frame(timeout)
    except ProtocolError:
        run.answered = True
        process.kill()
        raise
    if frame is None:
        run.answered = True
        raise _death(run, process, f"while it worked on {run.job.input}")
    if frame.header.get("id") != run.number:
        return None  # the rest of a job that was given up
    values = {name: value for name, value in frame.header.items() if name != "id"}
    run.answered = values.get("kind") in ("result", "failed")
    if run.answered and run.cancelled:
        raise _cancelled(run)
    if values.get("kind") == "failed":
        raise DipError.from_dict(values)
    event = _parse_event(values, frame.payload, process)
    return event if isinstance(event, Result) or not run.cancelled else None


def _parse_event(values: dict[str, Any], payload: bytes, process: _Process) -> Event:
    try:
        return event_from_json(values, payload)
    except InputError as error:
        process.kill()
        raise ProtocolError(f"The engine sent nonsense. {error.sentence}", error.hint) from error


def _death(run: _Run, process: _Process, when: str) -> DipError:
    how = process.how_it_ended()
    if run.cancelled:
        return _cancelled(run)
    hint = process.last_words()
    if not hint and how == "was killed by SIGKILL":
        hint = "The system may have run out of memory: use the preset fast or a smaller picture."
    return ProtocolError(f"The engine {how} {when}.", hint)


def _cancelled(run: _Run) -> Cancelled:
    return Cancelled(f"The restoration of {run.job.input} was cancelled.")


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
