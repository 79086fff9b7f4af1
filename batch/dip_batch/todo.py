"""Which pictures of a plan are to be restored now, and which need not be."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from dip_batch.journal import Entry, Journal, Stamp
from dip_batch.names import shown
from dip_batch.outcome import ALREADY_DONE, Outcome
from dip_batch.plan import Item, Plan
from dip_engine.errors import InputError
from dip_engine.job import Job

EXISTS = ("skip", "overwrite", "fail")
"""Choices of what happens to outputs that exist."""


@dataclass(frozen=True, slots=True)
class Todo:
    """A picture that is to be restored.

    Attributes:
        item: the picture.
        job: what the engine is asked; a worker puts its own device and threads in.
        stamp: of the picture now.
    """

    item: Item
    job: Job
    stamp: Stamp


def sort_out(
    plan: Plan,
    job_of: Callable[[Item], Job],
    journals: Mapping[Path, Journal],
    exists: str,
) -> tuple[list[Todo], list[Outcome]]:
    """Split a plan into what is to be done and the outcomes that are known already.

    Args:
        plan: all pictures.
        job_of: makes the job of a picture.
        journals: of the plan's folders of results.
        exists: one of `EXISTS`.

    Raises:
        InputError: ``exists`` is ``fail`` and an output is there that no interrupted run with
            the same settings has made.
    """
    done = {root: journal.read() for root, journal in journals.items()}
    todos, outcomes = [], []
    for item in plan.items:
        if item.problem is not None:
            outcomes.append(Outcome.failed(item, item.problem))
            continue
        job = job_of(item)
        try:
            stamp = Stamp.of(job)
        except OSError as error:
            gone = InputError(f"{shown(item.input)} cannot be read ({error.strerror}).")
            outcomes.append(Outcome.failed(item, gone))
            continue
        root = item.root
        entry = None if root is None else done[root].get(journals[root].key(item))
        reason = _skip_reason(item, stamp, entry, exists)
        if reason is None:
            todos.append(Todo(item, job, stamp))
        else:
            known = entry.result if entry is not None and reason == ALREADY_DONE else None
            outcomes.append(Outcome(item, "skipped", reason, result=known))
    return todos, outcomes


def _skip_reason(item: Item, stamp: Stamp, entry: Entry | None, exists: str) -> str | None:
    """Tell why a picture need not be restored, or None where it must be.

    With ``overwrite`` and ``fail`` only the finished part of an interrupted run is kept.
    """
    if not os.path.lexists(item.output):
        return None
    if entry is not None and entry.stamp == stamp and (entry.open or exists == "skip"):
        return ALREADY_DONE
    if exists == "overwrite":
        return None
    if exists == "fail":
        raise InputError(f"{shown(item.output)} exists.", "Use --exists skip or overwrite, or -o.")
    if entry is None:
        return "exists"
    if entry.stamp.fingerprint != stamp.fingerprint:
        return "exists, made with other settings; use --exists overwrite"
    return "exists, made from another version of the picture; use --exists overwrite"
