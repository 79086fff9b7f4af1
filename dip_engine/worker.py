"""The engine process: jobs in on stdin, events out on stdout, log on stderr.

It serves one job after the other and outlives their failures, but never its caller: the thread
that reads stdin ends the process at end-of-file, and on Linux the kernel does it too, even while
a C library sits on the interpreter lock. The kernel's rule is about the *thread* that started the
process, so start the engine from a thread that lives as long as the engine (`Engine` does).

Ctrl+C in a terminal reaches the whole process group. The caller decides what it means, the engine
ignores it; it stays in the group so that Ctrl+Z still pauses the work. SIGTERM ends the engine and
removes what it had begun to write.
"""

from __future__ import annotations

import ctypes
import faulthandler
import gc
import os
import queue
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Generator
from contextlib import closing, suppress
from dataclasses import dataclass, field
from types import FrameType
from typing import IO, Any, NoReturn

from dip_engine.errors import Cancelled, DeviceError, DipError, OutOfMemory, ProtocolError
from dip_engine.events import Event, Result, event_to_json
from dip_engine.job import Job
from dip_engine.protocol import Frame, hello, read_frame, write_frame

RestoreEvents = Callable[[Job, threading.Event], Generator[Event, None, None]]

_PR_SET_PDEATHSIG = 1


class _CallerGone(Exception):
    """Nobody reads the events any more."""


class _Terminated(BaseException):
    """The process got SIGTERM."""


@dataclass(frozen=True)
class _Task:
    """A job with what the caller wishes for it while it runs."""

    number: int
    values: dict[str, Any]
    stop: threading.Event = field(default_factory=threading.Event)
    cancel: threading.Event = field(default_factory=threading.Event)


class _Inbox:
    """What came in on stdin: a queue of tasks, and wishes that are put on the task they name."""

    def __init__(self) -> None:
        self._waiting: queue.SimpleQueue[_Task] = queue.SimpleQueue()
        self._open: dict[int, _Task] = {}

    def next_task(self) -> _Task:
        return self._waiting.get()

    def done(self, task: _Task) -> None:
        del self._open[task.number]

    def watch(self, requests: IO[bytes]) -> NoReturn:
        """Read frames until the caller is gone, then end the process at once."""
        try:
            while frame := read_frame(requests):
                self._accept(frame)
        except (ProtocolError, OSError) as error:
            sys.stderr.write(f"{error}\n")
            os._exit(ProtocolError.exit_code)
        # Not sys.exit: the main thread may be inside a long call, and nobody waits for its result.
        os._exit(0)

    def _accept(self, frame: Frame) -> None:
        kind, number = frame.header.get("kind"), frame.header.get("id")
        values = frame.header.get("job")
        if kind == "job" and isinstance(number, int) and isinstance(values, dict):
            task = _Task(number, values)
            self._open[number] = task
            self._waiting.put(task)
        elif kind in ("stop", "cancel") and isinstance(number, int):
            # A wish for a job that has just ended names no open task and is forgotten.
            if named := self._open.get(number):
                (named.stop if kind == "stop" else named.cancel).set()
        else:
            raise ProtocolError(f"The engine does not understand a message of kind {kind!r}.")


def serve(restore_events: RestoreEvents) -> int:
    """Serve jobs until the caller is gone.

    Args:
        restore_events: does one job; yields events and last the `Result`. Setting its second
            argument asks it to finish now with the best so far, closing it cancels.

    Returns:
        Exit code of the process, where the caller stopped reading; at end-of-file on stdin the
        process ends without returning.
    """
    _die_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    requests, answers = _take_pipes()
    faulthandler.enable()
    inbox = _Inbox()
    threading.Thread(target=inbox.watch, args=(requests,), daemon=True, name="stdin").start()
    try:
        signal.signal(signal.SIGTERM, _terminate)
        _send(answers, hello())
        while True:
            task = inbox.next_task()
            done = _answer(task, restore_events, answers)
            inbox.done(task)
            _let_go(failed=not done)
    except _CallerGone:
        return 0
    except _Terminated:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.raise_signal(signal.SIGTERM)  # whoever waits for the process learns what ended it
        return 128 + signal.SIGTERM


def main() -> int:
    """Run the engine process."""
    return serve(_restore_events)


def _restore_events(job: Job, stop: threading.Event) -> Generator[Event, None, None]:
    try:
        # Imported here, so that the caller hears from the engine before torch is loaded.
        from dip_engine.restoration import restore_events
    except ImportError as error:
        raise DeviceError(
            f"The engine's libraries cannot be loaded: {error}.",
            "The installation is incomplete: run install.sh again.",
        ) from error
    yield from restore_events(job, stop)


def _die_with_parent() -> None:
    if sys.platform != "linux":
        return
    parent = os.getppid()
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, ctypes.c_ulong(signal.SIGKILL))
    if os.getppid() != parent:  # it died before the kernel knew our wish
        os._exit(0)


def _terminate(number: int, _frame: FrameType | None) -> NoReturn:
    """Leave what is being done through its context managers; another signal cannot cut it short."""
    signal.signal(number, signal.SIG_IGN)
    raise _Terminated


def _take_pipes() -> tuple[IO[bytes], IO[bytes]]:
    """Take stdin and stdout for frames alone.

    Prints from anywhere, C libraries included, go to stderr, and nothing else reads stdin. The
    private copies are not inherited by child processes. Unbuffered, because a buffer's lock that
    the reading thread holds would upset the interpreter when it ends.
    """
    requests = os.fdopen(os.dup(0), "rb", buffering=0)
    answers = os.fdopen(os.dup(1), "wb", buffering=0)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    return requests, answers


def _send(answers: IO[bytes], header: dict[str, Any], payload: bytes = b"") -> None:
    try:
        write_frame(answers, header, payload)
    except OSError as error:
        raise _CallerGone from error


def _answer(task: _Task, restore_events: RestoreEvents, answers: IO[bytes]) -> bool:
    """Do one task; its last frame is a result or says why there is none. Return True for one."""
    try:
        job = Job.parse(task.values)
        for event in _checked_events(task, job, restore_events):
            header, payload = event_to_json(event)
            _send(answers, {**header, "id": task.number}, payload)
        return True
    except _CallerGone:
        raise
    except Exception as error:
        failure = _as_dip_error(error, str(task.values.get("input")))
        _send(answers, {"kind": "failed", "id": task.number, **failure.to_dict()})
        return False


def _let_go(*, failed: bool) -> None:
    """Free what a job has left, also on the GPU, where others may wait for the memory."""
    if failed:  # its error and the frames it came through hold each other
        gc.collect()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        with suppress(RuntimeError):
            torch.cuda.empty_cache()


def _checked_events(
    task: _Task, job: Job, restore_events: RestoreEvents
) -> Generator[Event, None, None]:
    """Yield the events of a task up to its result.

    Raises:
        Cancelled: the caller cancelled before there was a result.
        DipError: what the work raised, or that it ended without a result.
    """
    if task.cancel.is_set():
        raise _cancelled(job)
    with closing(restore_events(job, task.stop)) as events:
        for event in events:
            if isinstance(event, Result):
                yield event
                return
            if task.cancel.is_set():
                raise _cancelled(job)
            yield event
    raise DipError(f"{job.input} was worked on, but there is no result.", "Look into the log.")


def _cancelled(job: Job) -> Cancelled:
    return Cancelled(f"The restoration of {job.input} was cancelled.")


def _as_dip_error(error: Exception, name: str) -> DipError:
    if isinstance(error, DipError):
        return error
    traceback.print_exception(error)
    if _is_out_of_memory(error):
        return OutOfMemory(
            f"{name} does not fit into the memory.",
            "Try --device cpu, a smaller picture, or another preset than paper.",
        )
    return DipError(
        f"{name} could not be restored: {type(error).__name__}: {error}.",
        "The engine's log has the details.",
    )


def _is_out_of_memory(error: Exception) -> bool:
    # By name: torch has its own class, and its CPU allocator raises a plain RuntimeError.
    return (
        isinstance(error, MemoryError)
        or type(error).__name__ == "OutOfMemoryError"
        or "DefaultCPUAllocator" in str(error)
    )


if __name__ == "__main__":
    sys.exit(main())
