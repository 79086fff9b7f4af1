"""What a person at a terminal sees of a job: progress, the result in a line, errors with a hint."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator

import click

from dip_engine.errors import DipError
from dip_engine.events import Event, Progress, Result, Started


def complain(error: DipError) -> None:
    """Say what went wrong, and what to do about it."""
    click.echo(f"Error: {error.sentence}", err=True)
    if error.hint:
        click.echo(f"Hint: {error.hint}", err=True)


def follow(events: Iterable[Event], name: str) -> Result:
    """Show the progress on stderr until the result is there."""
    result = None
    show = _with_bar if sys.stderr.isatty() else _with_lines
    for event in show(events, name):
        if isinstance(event, Result):
            result = event
    assert result is not None, "an engine's last event is its result"
    return result


def _with_bar(events: Iterable[Event], name: str) -> Iterator[Event]:
    from rich.console import Console
    from rich.progress import BarColumn, TaskProgressColumn, TextColumn
    from rich.progress import Progress as Bar

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[detail]}", markup=False),
    )
    with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(name, total=1.0, detail="starting the engine")
        for event in events:
            if isinstance(event, Progress):
                bar.update(task, completed=event.fraction, detail=_detail(event))
            yield event


def _with_lines(events: Iterable[Event], name: str) -> Iterator[Event]:
    """One line at the start and one for every tenth of the work: readable in a log."""
    tenths = 0
    for event in events:
        if isinstance(event, Started):
            line = f"{name}: {event.width}×{event.height}, {event.network}"
            click.echo(f"{line} on {event.device} ({event.dtype})", err=True)
        elif isinstance(event, Progress) and int(event.fraction * 10) > tenths:
            tenths = int(event.fraction * 10)
            click.echo(f"{name}: {tenths}0 %, {_detail(event)}", err=True)
        yield event


def _detail(progress: Progress) -> str:
    parts = [f"{progress.seconds:.0f} s"]
    if progress.remaining is not None:
        parts.append(f"about {progress.remaining:.0f} s left")
    if progress.psnr is not None:
        parts.append(f"{progress.psnr:.1f} dB to what is known")
    return ", ".join(parts)


def summary(result: Result) -> str:
    """Return what was done in one line."""
    parts = [f"{result.output}: {result.seconds:.1f} s", result.stop_reason]
    if result.noise_std is not None:
        parts.append(f"noise σ {result.noise_std * 255:.1f} of 255")
    return ", ".join(parts)
