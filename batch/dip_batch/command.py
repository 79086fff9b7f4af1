"""What the command line asks for, done from plan to report."""

from __future__ import annotations

import json
import time
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import click
from rich.console import Console
from rich.text import Text

from dip_batch.display import Bars, Lines
from dip_batch.dry_run import preview, show_preview, write_preview
from dip_batch.interrupt import interruptible
from dip_batch.journal import Journal
from dip_batch.mps import shared_gpus
from dip_batch.names import printable, shown, span
from dip_batch.outcome import STATUSES, Outcome
from dip_batch.plan import Item, Plan, Request, make_plan
from dip_batch.report import REPORT_NAME, RunFacts, make_report, write_report
from dip_batch.run import Ending, run_batch
from dip_batch.todo import sort_out
from dip_batch.walk import RESULTS_FOLDER
from dip_batch.workers import Worker, share_out
from dip_engine.client import Engine
from dip_engine.errors import Cancelled, DeviceError, DipError, OutputError
from dip_engine.job import Job, Settings
from dip_engine.temporary import sweep_folder

FAILED = 1
"""Exit code where some pictures failed."""


@dataclass(frozen=True, slots=True)
class Command:
    """What the command line asks for, read and checked.

    Attributes:
        request: what the plan is made of.
        settings: of all pictures.
        devices: where it is done.
        workers: on each device, or None to choose.
        mask_color: see `Job`.
        exists: one of `EXISTS`.
        engine: command that starts the engine, or None for the installed one.
        as_json, quiet: what is printed.
    """

    request: Request
    settings: Settings
    devices: tuple[str, ...]
    workers: int | None
    mask_color: tuple[int, int, int] | None
    exists: str
    engine: list[str] | None
    as_json: bool
    quiet: bool

    def job(self, item: Item) -> Job:
        """Return the job of a picture."""
        return Job(
            self.request.task,
            item.input,
            item.output,
            item.mask,
            self.mask_color,
            self.settings,
            guide=item.guide,
            kernel=self.request.kernel,
        )


def _consoles(command: Command) -> tuple[Console, Console]:
    out = Console(stderr=command.as_json, highlight=False, markup=False, emoji=False)
    return out, Console(stderr=True, highlight=False, markup=False, emoji=False)


def _plan(command: Command, errors: Console) -> Plan:
    plan = make_plan(command.request)
    for note in plan.notes:
        errors.print(Text(note, style="yellow"), soft_wrap=True)
    return plan


def dry_run(command: Command) -> int:
    """Show what would be done and return the exit code.

    Raises:
        InputError: the plan cannot be carried out.
    """
    out, errors = _consoles(command)
    plan = _plan(command, errors)
    journals = {root: Journal(root) for root in plan.roots}
    todos, outcomes = sort_out(plan, command.job, journals, command.exists)
    workers = share_out(command.devices, todos, command.workers)
    values = preview(plan, todos, outcomes, workers)
    if command.as_json:
        click.echo(write_preview(values))
    else:
        show_preview(values, out)
    return 0


def restore(command: Command) -> int:
    """Restore the pictures and return the exit code.

    Raises:
        InputError: the plan cannot be carried out; nothing was written.
        OutputError: a folder of results cannot be written or is in use.
    """
    out, errors = _consoles(command)
    plan = _plan(command, errors)
    journals = {root: Journal(root) for root in plan.roots}
    if command.exists == "fail":
        sort_out(plan, command.job, journals, command.exists)  # before anything is written
    started, clock = datetime.now().astimezone(), time.monotonic()
    with interruptible() as stop, ExitStack() as stack:
        for journal in journals.values():
            stack.enter_context(journal.opened())
        _sweep(plan)
        todos, known = sort_out(plan, command.job, journals, command.exists)
        log = _log(plan)
        workers = share_out(command.devices, todos, command.workers)
        stack.enter_context(shared_gpus([worker.device for worker in workers]))
        with _display(command, len(plan.items), workers, out, errors) as display:
            display.known(known)
            ending = run_batch(
                todos,
                workers,
                start_engine=lambda: Engine(command.engine, log=log),
                journals=journals,
                display=display,
                stop=stop,
            )
        _sweep(plan)
        outcomes = _in_order(plan, known + ending.outcomes)
        code = _exit_code(ending, outcomes)
        facts = RunFacts(
            task=command.request.task,
            settings=command.settings,
            devices=command.devices,
            workers=len(workers),
            started=started.isoformat(timespec="seconds"),
            finished=datetime.now().astimezone().isoformat(timespec="seconds"),
            seconds=time.monotonic() - clock,
            ending=_ending_word(ending),
        )
        try:
            if code in (0, FAILED):
                for journal in journals.values():
                    journal.end()
            for root in plan.roots:
                mine = [outcome for outcome in outcomes if outcome.item.root == root]
                write_report(make_report(facts, mine), root)
        except OutputError as error:
            _complain(errors, error)
            code = code or FAILED
    if ending.fatal is not None:
        _complain(errors, ending.fatal)
    if command.as_json:
        click.echo(json.dumps(make_report(facts, outcomes), indent=2))
    if not command.quiet:
        _summarise(out, plan, outcomes, facts, ending)
    return code


def _display(
    command: Command, total: int, workers: list[Worker], out: Console, errors: Console
) -> Lines:
    if out.file.isatty() and not out.is_dumb_terminal and not command.quiet:
        return Bars(out, command.request.task, total, workers)
    return Lines(out, errors, command.request.task, total, quiet=command.quiet)


def _sweep(plan: Plan) -> None:
    """Remove what killed engines have left in the folders of this plan."""
    folders = {item.output.parent for item in plan.items} | set(plan.roots)
    for folder in sorted(folders):
        if folder.is_dir():
            sweep_folder(folder)


def _in_order(plan: Plan, outcomes: list[Outcome]) -> list[Outcome]:
    by_item = {outcome.item: outcome for outcome in outcomes}
    return [by_item[item] for item in plan.items]


def _exit_code(ending: Ending, outcomes: list[Outcome]) -> int:
    if ending.fatal is not None:
        return DeviceError.exit_code
    if ending.interrupted:
        return Cancelled.exit_code
    return FAILED if any(outcome.status == "failed" for outcome in outcomes) else 0


def _ending_word(ending: Ending) -> str:
    if ending.fatal is not None:
        return str(ending.fatal)
    return "interrupted" if ending.interrupted else "finished"


def _complain(errors: Console, error: DipError) -> None:
    errors.print(Text(f"Error: {printable(str(error))}", style="red"), soft_wrap=True)


def _summarise(
    out: Console, plan: Plan, outcomes: list[Outcome], facts: RunFacts, ending: Ending
) -> None:
    count = Counter(outcome.status for outcome in outcomes)
    parts = [f"{count[status]} {status}" for status in STATUSES if count[status]]
    text = f"{', '.join(parts)} in {span(facts.seconds)}."
    if ending.interrupted:
        text += " Interrupted: the same command goes on from here."
    out.print(Text(text), soft_wrap=True)
    for root in plan.roots:
        text = f"Results: {shown(root)}  Report: {shown(root / REPORT_NAME)}"
        out.print(Text(text), soft_wrap=True)
    log = _log(plan)
    if log is not None and (count["failed"] or ending.fatal is not None):
        out.print(Text(f"Log of the engine: {shown(log)}"), soft_wrap=True)


def _log(plan: Plan) -> Path | None:
    """Return where the engine's log goes; pictures on their own leave no second file behind."""
    return plan.roots[0] / RESULTS_FOLDER / "engine.log" if plan.roots else None
