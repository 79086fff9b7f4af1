"""What a person sees while the work is done: plain lines, or progress bars on a terminal."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Iterable
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn
from rich.table import Column
from rich.text import Text

from dip_batch.names import printable, shorten, shown, span
from dip_batch.outcome import Outcome
from dip_batch.plan import Item
from dip_batch.workers import Worker
from dip_engine.errors import DipError
from dip_engine.events import Event
from dip_engine.events import Progress as ProgressEvent

DONE_WORDS = {
    "denoise": "denoised",
    "inpaint": "inpainted",
    "super-resolution": "enlarged",
    "jpeg": "cleaned",
    "deblur": "deblurred",
    "colourise": "coloured",
    "flash": "restored",
}
_NAME_CELLS = 22
_LONG_NAME_CELLS = 32


class Lines:
    """One line for each picture.

    Args:
        console: for what went well.
        errors: for what did not.
        task: name of the task.
        total: number of pictures, skipped ones included.
        quiet: only tell what did not go well.
    """

    def __init__(
        self, console: Console, errors: Console, task: str, total: int, *, quiet: bool = False
    ) -> None:
        self._console = console
        self._errors = errors
        self._verb = DONE_WORDS.get(task, "restored")
        self._total = total
        self._quiet = quiet
        self._seen = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        return None

    def known(self, outcomes: Iterable[Outcome]) -> None:
        """Tell what was known before the work began: what is skipped, and why."""
        reasons: Counter[str] = Counter()
        for outcome in outcomes:
            if outcome.status == "failed":
                self.finished(0, outcome)
            else:
                self._seen += 1
                reasons[outcome.reason] += 1
        if not self._quiet:
            for reason, count in reasons.items():
                pictures = "picture" if count == 1 else "pictures"
                self._say(self._console, Text(f"Skipped {count} {pictures}: {reason}."))

    def taken(self, worker: int, item: Item, /) -> None:
        """Begin a picture; a line is printed only when it is done."""

    def event(self, worker: int, event: Event, /) -> None:
        """Hear from an engine at work; lines show nothing of it."""

    def finished(self, _worker: int, outcome: Outcome, /) -> None:
        """Tell what became of a picture."""
        self._seen += 1
        head = Text(f"[{self._seen}/{self._total}] {self._name(outcome)}  ")
        if outcome.status == "failed":
            head.append("failed: ", style="bold red")
            head.append(printable(f"{outcome.reason} {outcome.hint}".rstrip()), style="red")
            self._say(self._errors, head)
            return
        if not self._quiet:
            self._say_done(head, outcome)
        for warning in (outcome.result or {}).get("warnings") or ():
            text = f"{self._name(outcome)}: {printable(str(warning))}"
            self._say(self._errors, Text(text, style="yellow"))

    def postponed(self, _worker: int, _item: Item, error: DipError, /) -> None:
        """Tell why a picture is given up for now; the sentence names it."""
        self.tell(f"{error.sentence} It is tried again alone when the others are done.")

    def tell(self, text: str) -> None:
        """Tell something that is about no picture."""
        self._say(self._errors, Text(printable(text), style="yellow"))

    def _say(self, console: Console, text: Text) -> None:
        console.print(text, soft_wrap=True)

    def _say_done(self, head: Text, outcome: Outcome) -> None:
        account = f"{self._verb} in {_account(outcome)} → {shown(outcome.item.output)}"
        self._say(self._console, head.append(account))

    def _name(self, outcome: Outcome) -> str:
        return outcome.item.name


class Bars(Lines):
    """A bar for all pictures and one for each worker, below the lines.

    Args:
        console: the terminal.
        task, total: see `Lines`.
        workers: who does it.
    """

    def __init__(self, console: Console, task: str, total: int, workers: Iterable[Worker]) -> None:
        super().__init__(console, console, task, total)
        self._devices = [worker.device for worker in workers]
        self._bars = Progress(
            _column("name", _NAME_CELLS, "left"),
            BarColumn(bar_width=None),
            _column("count", 11, "right"),
            _column("quality", 9, "right"),
            _column("left", 12, "right"),
            console=console,
            transient=True,
            expand=True,
        )
        self._all = self._add("All pictures")
        self._rows = [self._add("", visible=False) for _ in self._devices]
        self._fractions = [0.0 for _ in self._devices]
        self._failed = 0
        self._restored = 0
        self._begun = time.monotonic()

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bars.stop()

    def taken(self, worker: int, item: Item, /) -> None:
        """Begin the worker's bar anew."""
        name = item.name
        if len(set(self._devices)) > 1:
            name = f"{self._devices[worker]} {name}"
        self._bars.reset(
            self._rows[worker],
            total=1.0,
            visible=True,
            name=shorten(name, _NAME_CELLS),
            count="",
            quality="",
            left="",
        )
        self._overall()

    def event(self, worker: int, event: Event, /) -> None:
        """Move the worker's bar."""
        if not isinstance(event, ProgressEvent):
            return
        self._fractions[worker] = event.fraction
        known = event.psnr is not None and math.isfinite(event.psnr)
        self._bars.update(
            self._rows[worker],
            completed=event.fraction,
            count=f"{event.iteration}/{event.iterations}" if event.iteration else event.stage,
            quality=f"{event.psnr:.1f} dB" if known else "",
            left=_time_left(event.remaining),
        )
        self._overall()

    def finished(self, worker: int, outcome: Outcome, /) -> None:
        """Take the worker's bar away and tell what became of the picture."""
        super().finished(worker, outcome)
        self._restored += 1
        self._failed += outcome.status == "failed"
        self._rest(worker)

    def postponed(self, worker: int, item: Item, error: DipError, /) -> None:
        """Take the worker's bar away and tell why."""
        super().postponed(worker, item, error)
        self._rest(worker)

    def known(self, outcomes: Iterable[Outcome]) -> None:
        """Tell what was known before; it does not count for the time left."""
        super().known(outcomes)
        self._restored, self._begun = 0, time.monotonic()
        self._overall()

    def _rest(self, worker: int) -> None:
        """Take a worker's bar away until its next picture."""
        self._fractions[worker] = 0.0
        self._bars.update(self._rows[worker], visible=False)
        self._overall()

    def _say(self, console: Console, text: Text) -> None:
        console.print(text)

    def _say_done(self, head: Text, outcome: Outcome) -> None:
        head.append(_account(outcome))
        if outcome.item.root is None:
            self._say(self._console, head.append(f" → {shown(outcome.item.output)}"))
        else:  # one line each: the folder of the results is told at the end
            self._console.print(head, no_wrap=True, overflow="ellipsis")

    def _name(self, outcome: Outcome) -> str:
        return shorten(outcome.item.name, _LONG_NAME_CELLS)

    def _add(self, name: str, *, visible: bool = True) -> TaskID:
        return self._bars.add_task(
            "", total=1.0, visible=visible, name=name, count="", quality="", left=""
        )

    def _overall(self) -> None:
        worked = self._restored + sum(self._fractions)
        to_do = max(1, self._total - self._seen + self._restored)
        elapsed = time.monotonic() - self._begun
        self._bars.update(
            self._all,
            completed=(self._seen + sum(self._fractions)) / max(1, self._total),
            count=f"{self._seen}/{self._total}",
            quality=f"{self._failed} failed" if self._failed else "",
            left=_time_left(elapsed * (to_do - worked) / worked if worked > 0 else None),
        )


def _column(field: str, width: int, justify: str) -> TextColumn:
    return TextColumn(
        f"{{task.fields[{field}]}}",
        markup=False,
        table_column=Column(
            min_width=width,
            max_width=width,
            no_wrap=True,
            justify="right" if justify == "right" else "left",
        ),
    )


def _time_left(seconds: float | None) -> str:
    if seconds is None or not math.isfinite(seconds):
        return ""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    clock = f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
    return f"{clock} left"


def _account(outcome: Outcome) -> str:
    """Return e.g. ``41 s, noise 24.8, stopped: held-out error stopped falling``."""
    result = outcome.result or {}
    parts = [span(result.get("seconds", 0.0))]
    if result.get("noise_std") is not None:
        parts.append(f"noise {255 * result['noise_std']:.1f}")
    parts.append(f"stopped: {printable(result.get('stop_reason', ''))}")
    return ", ".join(parts)
