"""Do the work: one thread per worker, each with its own engine process.

Threads only wait for their engines. Whatever they have to say is put into a queue of calls that
the main thread makes, so that journal and display need no locks. What did not fit into the memory
beside other pictures is tried again when they are done.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Protocol

from dip_batch.journal import Journal
from dip_batch.outcome import Outcome
from dip_batch.plan import Item
from dip_batch.todo import Todo
from dip_batch.workers import Worker, share_out
from dip_engine.errors import (
    Cancelled,
    DeviceError,
    DeviceLost,
    DipError,
    OutOfMemory,
    OutputError,
    ProtocolError,
)
from dip_engine.events import Event, Result
from dip_engine.job import Job

_TICK = 0.2  # seconds until a signal is noticed
_REFRESH_SECONDS = 20.0


class EngineLike(Protocol):
    """The part of `dip_engine.client.Engine` that is needed here."""

    def run(self, job: Job) -> Iterator[Event]:
        """Do a job."""

    def cancel(self) -> None:
        """End the running job, from any thread."""

    def close(self) -> None:
        """End the process."""


class Display(Protocol):
    """Who is told what happens; called from the main thread only."""

    def taken(self, worker: int, item: Item, /) -> None:
        """A worker begins with a picture."""

    def event(self, worker: int, event: Event, /) -> None:
        """The engine of a worker says something."""

    def finished(self, worker: int, outcome: Outcome, /) -> None:
        """A picture is done or has failed."""

    def postponed(self, worker: int, item: Item, error: DipError, /) -> None:
        """A picture is given up for now, and will be tried again alone."""

    def tell(self, text: str, /) -> None:
        """Something else the user should know."""


@dataclass(frozen=True, slots=True)
class Ending:
    """How a run ended.

    Attributes:
        outcomes: of all pictures that were to be restored.
        interrupted: a signal ended it.
        fatal: what made it pointless to go on, or None.
    """

    outcomes: list[Outcome]
    interrupted: bool = False
    fatal: DipError | None = None


def run_batch(
    todos: Sequence[Todo],
    workers: Sequence[Worker],
    *,
    start_engine: Callable[[], EngineLike],
    journals: Mapping[Path, Journal],
    display: Display,
    stop: threading.Event,
) -> Ending:
    """Restore pictures and note each in its journal.

    A picture that fails does not stop the others; a device or engine that cannot work at all
    does.

    Args:
        todos: what is to be done, in order.
        workers: who does it.
        start_engine: makes an engine; called once per worker.
        journals: open, by folder of results.
        display: is told what happens.
        stop: is set, e.g. by a signal, to end early.
    """
    return _Run(
        todos,
        workers,
        start_engine=start_engine,
        journals=journals,
        display=display,
        stop=stop,
    ).run()


class _Run:
    def __init__(
        self,
        todos: Sequence[Todo],
        workers: Sequence[Worker],
        *,
        start_engine: Callable[[], EngineLike],
        journals: Mapping[Path, Journal],
        display: Display,
        stop: threading.Event,
    ) -> None:
        self._todos = todos
        self._waiting: queue.SimpleQueue[Todo] = queue.SimpleQueue()
        self._postponed: list[Todo] = []
        self._workers = workers[: len(todos)]
        self._start_engine = start_engine
        self._journals = journals
        self._display = display
        self._stop = stop
        self._calls: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._engines: list[EngineLike] = []
        self._outcomes: dict[Item, Outcome] = {}
        self._fatal: Exception | None = None
        self._journal_fails = False

    def run(self) -> Ending:
        self._let_work(self._workers, self._todos)
        large = self._postponed
        if large and not self._over():
            self._let_work(share_out([self._workers[0].device], large, 1), large)
        if self._fatal is not None and not isinstance(self._fatal, DipError):
            raise self._fatal
        outcomes = [self._outcome(todo.item) for todo in self._todos]
        left = any(outcome.status == "left" for outcome in outcomes)
        return Ending(outcomes, interrupted=self._stop.is_set() and left, fatal=self._fatal)

    def _outcome(self, item: Item) -> Outcome:
        return self._outcomes.get(item) or Outcome(item, "left", "the run ended before")

    def _let_work(self, workers: Sequence[Worker], todos: Sequence[Todo]) -> None:
        """Let workers do what is to be done, and wait for them."""
        for todo in todos:
            self._waiting.put(todo)
        alone = len(workers) == 1
        threads = [
            threading.Thread(target=self._work, args=(number, worker, alone), daemon=True)
            for number, worker in enumerate(workers)
        ]
        for thread in threads:
            thread.start()
        try:
            self._wait_for(threads)
        except BaseException as error:
            self._fatal = error if isinstance(error, Exception) else self._fatal
            self._stop.set()
            raise
        finally:
            while any(thread.is_alive() for thread in threads):
                self._cancel()
                time.sleep(_TICK)

    def _wait_for(self, threads: list[threading.Thread]) -> None:
        """Make the calls of the threads until all have ended."""
        told, refreshed = False, time.monotonic()
        while any(thread.is_alive() for thread in threads) or not self._calls.empty():
            if self._over():
                self._cancel()
            if self._stop.is_set() and not told:
                told = True
                self._display.tell("Stopping … Ctrl+C once more quits at once.")
            if time.monotonic() - refreshed > _REFRESH_SECONDS:
                refreshed = time.monotonic()
                for journal in self._journals.values():
                    journal.refresh()
            try:
                self._calls.get(timeout=_TICK)()
            except queue.Empty:
                continue

    def _over(self) -> bool:
        return self._stop.is_set() or self._fatal is not None

    def _cancel(self) -> None:
        # Again and again, because a job may begin just after a cancel that found none.
        for engine in self._engines:
            engine.cancel()

    def _work(self, number: int, worker: Worker, alone: bool) -> None:
        """Take pictures until there are none; this is what the threads do."""
        try:
            engine = self._start_engine()
            self._engines.append(engine)
            try:
                while not self._over():
                    todo = self._waiting.get_nowait()
                    self._calls.put(partial(self._display.taken, number, todo.item))
                    self._calls.put(self._done_with(engine, number, todo, worker, alone))
            finally:
                engine.close()
        except (queue.Empty, Cancelled):
            return
        except Exception as error:  # the main thread raises it
            self._fatal = self._fatal or error

    def _done_with(
        self, engine: EngineLike, number: int, todo: Todo, worker: Worker, alone: bool
    ) -> Callable[[], None]:
        """Restore one picture and return the call that tells what became of it."""
        try:
            outcome = self._restore(engine, number, todo, worker)
        except (OutOfMemory, ProtocolError) as error:
            if not alone:
                return partial(self._postpone, number, todo, error)
            outcome = Outcome.failed(todo.item, error)
        return partial(self._finish, number, todo, outcome)

    def _restore(self, engine: EngineLike, number: int, todo: Todo, worker: Worker) -> Outcome:
        """Restore one picture, with a fresh process where the first one dies.

        Raises:
            Cancelled: the run is over.
            DeviceError: no picture can be restored.
            OutOfMemory: this one takes more memory than there is.
            ProtocolError: it kills every process, which is what a system short of memory does.
        """
        settings = replace(todo.job.settings, device=worker.device, threads=worker.threads)
        job = replace(todo.job, settings=settings)
        try:
            job.output.parent.mkdir(parents=True, exist_ok=True)
            try:
                result = self._ask(engine, number, job)
            except DeviceLost:
                engine.close()
                result = self._ask(engine, number, job)
            except ProtocolError:
                _check_alive(engine, job)
                result = self._ask(engine, number, job)
        except (Cancelled, DeviceError, ProtocolError):
            raise
        except DipError as error:
            return Outcome.failed(todo.item, error)
        except OSError as error:
            folder = OutputError(f"{job.output.parent} cannot be made ({error.strerror}).")
            return Outcome.failed(todo.item, folder)
        return Outcome.done(todo.item, result)

    def _ask(self, engine: EngineLike, number: int, job: Job) -> Result:
        result = None
        for event in engine.run(job):
            if isinstance(event, Result):
                result = event
            else:
                self._calls.put(partial(self._display.event, number, event))
        if result is None:
            raise ProtocolError(f"The engine ended without a result for {job.input}.")
        return result

    def _postpone(self, number: int, todo: Todo, error: DipError) -> None:
        self._postponed.append(todo)
        self._display.postponed(number, todo.item, error)

    def _finish(self, number: int, todo: Todo, outcome: Outcome) -> None:
        self._outcomes[todo.item] = outcome
        journal = None if todo.item.root is None else self._journals[todo.item.root]
        if journal is not None and outcome.result is not None:
            try:
                journal.record(todo.item, todo.stamp, outcome.result)
            except OutputError as error:
                if not self._journal_fails:
                    self._display.tell(f"{error} If this run is killed, it cannot be resumed.")
                self._journal_fails = True
        self._display.finished(number, outcome)


def _check_alive(engine: EngineLike, job: Job) -> None:
    """See whether a fresh engine process answers at all.

    It is asked for a picture that does not exist: a living engine says so.

    Raises:
        Cancelled: the run is over.
        DeviceError: there is no engine that could do any picture.
    """
    nowhere = job.input.with_name(job.input.name + ".no-such-picture")
    try:
        for _ in engine.run(replace(job, input=nowhere)):
            pass
    except ProtocolError as error:
        raise DeviceError(error.sentence, error.hint) from error
    except (Cancelled, DeviceError):
        raise
    except DipError:
        return
