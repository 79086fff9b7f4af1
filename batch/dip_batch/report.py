"""``report.json``: what was done to each picture, for people and programs."""

from __future__ import annotations

import json
import math
import platform
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from dip_batch.outcome import STATUSES, Outcome
from dip_engine import __version__
from dip_engine.errors import OutputError
from dip_engine.files import write_whole
from dip_engine.job import Settings

REPORT_NAME = "report.json"

_RESULT_FIELDS = (
    "seconds",
    "stop_reason",
    "iterations",
    "snapshot",
    "seed",
    "network",
    "psnr",
    "noise_std",
    "noise_kind",
    "width",
    "height",
    "tiles",
    "device",
    "dtype",
    "warnings",
    "versions",
)


@dataclass(frozen=True, slots=True)
class RunFacts:
    """What a report says about the run as a whole.

    Attributes:
        task: its name.
        settings: of all pictures.
        devices: of the workers.
        workers: how many pictures were worked on at the same time.
        started, finished: ISO 8601 times with their zone.
        seconds: between them.
        ending: ``finished``, ``interrupted``, or the sentence of what ended the run.
    """

    task: str
    settings: Settings
    devices: tuple[str, ...]
    workers: int
    started: str
    finished: str
    seconds: float
    ending: str = "finished"


def make_report(facts: RunFacts, outcomes: Iterable[Outcome]) -> dict[str, Any]:
    """Return the report as JSON values.

    Pictures that an earlier run restored carry what is known about them from its journal.
    """
    pictures = [_picture(outcome) for outcome in outcomes]
    settings = {k: v for k, v in asdict(facts.settings).items() if k not in ("device", "threads")}
    count = dict.fromkeys(STATUSES, 0)
    for picture in pictures:
        count[picture["status"]] += 1
    report: dict[str, Any] = _finite(
        {
            "versions": {"deep-image-prior": __version__, "python": platform.python_version()},
            "task": facts.task,
            "settings": settings,
            "devices": list(facts.devices),
            "workers": facts.workers,
            "started": facts.started,
            "finished": facts.finished,
            "ending": facts.ending,
            "totals": {"pictures": len(pictures), **count, "seconds": round(facts.seconds, 3)},
            "pictures": pictures,
        }
    )
    return report


def write_report(report: Mapping[str, Any], root: Path) -> Path:
    """Write the report into a folder of results, whole or not at all, and return its path.

    Raises:
        OutputError: it cannot be written; an earlier one is still there.
    """
    path = root / REPORT_NAME
    text = json.dumps(report, indent=2) + "\n"
    try:
        write_whole(path, text.encode("ascii"), durable=True)
    except OutputError as error:
        raise OutputError(error.sentence, "The pictures are not affected.") from error
    return path


def _picture(outcome: Outcome) -> dict[str, Any]:
    item = outcome.item
    picture: dict[str, Any] = {
        "input": str(item.input),
        "output": str(item.output),
        "mask": None if item.mask is None else str(item.mask),
        "status": outcome.status,
        "reason": outcome.reason,
        "hint": outcome.hint,
    }
    if outcome.result is not None:
        picture |= {name: outcome.result.get(name) for name in _RESULT_FIELDS}
    return picture


def _finite(value: Any) -> Any:
    """Replace what JSON has no number for, such as the infinite PSNR of equal pictures."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {key: _finite(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(entry) for entry in value]
    return value
