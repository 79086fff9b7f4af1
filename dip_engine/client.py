"""Give jobs to an engine process, and read its events.

Standard library only: GIMP's own Python runs this file too.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from dip_engine.engine_process import EngineProcess
from dip_engine.errors import Cancelled, DipError, InputError, ProtocolError
from dip_engine.events import Event, Result, event_from_json
from dip_engine.job import Job
from dip_engine.protocol import check_hello


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
        self._process: EngineProcess | None = None
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

    def _ready_process(self, run: _Run) -> EngineProcess:
        """Return the living process, or start one and hear its hello."""
        with self._lock:
            process = self._process
            if process is not None and process.alive:
                return process
        if process is not None:
            process.close()
        process = EngineProcess(self._command, foreign=self._foreign, log=self._log)
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

    def _greet(self, run: _Run, process: EngineProcess) -> None:
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

    def _submit(self, run: _Run, process: EngineProcess) -> None:
        with self._lock:
            if run.cancelled:
                raise _cancelled(run)
            process.send({"kind": "job", "id": run.number, "job": run.job.to_json()})
            run.submitted_to = process
            if run.stopped:
                process.send({"kind": "stop", "id": run.number})

    def _abandon(self, run: _Run, process: EngineProcess) -> None:
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
    submitted_to: EngineProcess | None = None
    stopped: bool = False
    cancelled: bool = False
    answered: bool = False  # nothing more is to be read about this job
    killer: threading.Timer | None = None


def _next_event(run: _Run, process: EngineProcess, timeout: float | None = None) -> Event | None:
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


def _parse_event(values: dict[str, Any], payload: bytes, process: EngineProcess) -> Event:
    try:
        return event_from_json(values, payload)
    except InputError as error:
        process.kill()
        raise ProtocolError(f"The engine sent nonsense. {error.sentence}", error.hint) from error


def _death(run: _Run, process: EngineProcess, when: str) -> DipError:
    how = process.how_it_ended()
    if run.cancelled:
        return _cancelled(run)
    hint = process.last_words()
    if not hint and how == "was killed by SIGKILL":
        hint = "The system may have run out of memory: close other programs, or try another preset."
    return ProtocolError(f"The engine {how} {when}.", hint)


def _cancelled(run: _Run) -> Cancelled:
    return Cancelled(f"The restoration of {run.job.input} was cancelled.")
