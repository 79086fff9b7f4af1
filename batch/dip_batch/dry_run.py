"""What ``--dry-run`` shows: where each picture would go and what it may cost."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.text import Text

from dip_batch.estimate import Estimate, estimate, on_gpu, size_of
from dip_batch.names import printable, shown, span
from dip_batch.outcome import Outcome
from dip_batch.plan import Plan
from dip_batch.todo import Todo
from dip_batch.workers import Worker
from dip_engine.errors import DipError
from dip_engine.masks import check_mask_size
from dip_engine.processes import free_cores


def preview(
    plan: Plan, todos: Sequence[Todo], outcomes: Sequence[Outcome], workers: Sequence[Worker]
) -> dict[str, Any]:
    """Return as JSON values what a run would do, with the cost of each picture and of all."""
    threads = workers[0].threads or free_cores()
    by_item = {todo.item: _planned(todo, threads) for todo in todos}
    by_item |= {outcome.item: _settled(outcome) for outcome in outcomes}
    pictures = [by_item[item] for item in plan.items]
    seconds = sum(picture.get("seconds", 0.0) for picture in pictures)
    gigabytes = max((picture.get("gigabytes", 0.0) for picture in pictures), default=0.0)
    return {
        "dry_run": True,
        "rough_estimate": {
            "seconds": round(seconds / len(workers), 1),
            "gigabytes_per_worker": round(gigabytes, 1),
            "devices": list(dict.fromkeys(worker.device for worker in workers)),
            "workers": len(workers),
            "cores": free_cores(),
        },
        "pictures": pictures,
    }


def show_preview(values: dict[str, Any], console: Console) -> None:
    """Print a preview as lines."""
    for picture in values["pictures"]:
        line = Text(picture["name"])
        if "seconds" in picture:
            line.append(f"  {picture['width']}×{picture['height']}")
            line.append(f", about {span(picture['seconds'])}")
            line.append(f" → {picture['shown']}")
        elif picture["status"] == "skipped":
            line.append(f"  skipped: {picture['reason']}", style="dim")
        else:
            line.append(f"  would fail: {printable(picture['reason'])}", style="red")
        console.print(line, soft_wrap=True)
    count = sum("seconds" in picture for picture in values["pictures"])
    if count:
        console.print(Text(_total(count, values["rough_estimate"])))


def write_preview(values: dict[str, Any]) -> str:
    """Return a preview as JSON text."""
    pictures = [{k: v for k, v in p.items() if k != "shown"} for p in values["pictures"]]
    return json.dumps(values | {"pictures": pictures}, indent=2)


def _total(count: int, total: dict[str, Any]) -> str:
    cost = Estimate(total["seconds"], total["workers"] * total["gigabytes_per_worker"])
    cores = total["cores"]
    where = " and ".join(total["devices"])
    if not any(map(on_gpu, total["devices"])):
        where = f"{cores} CPU core{'s' if cores > 1 else ''}, a GPU is much faster"
    return (
        f"Nothing was done. {count} picture{'s' if count > 1 else ''} would take about "
        f"{span(cost.seconds)} and {cost.gigabytes:.1f} GB of memory ({where}). "
        "This is a rough estimate, which can be wrong by a factor of three: machines differ."
    )


def _planned(todo: Todo, cores: int) -> dict[str, Any]:
    item = todo.item
    about = {"name": item.name, "input": str(item.input), "output": str(item.output)}
    about["shown"] = shown(item.output)
    try:
        width, height, frames = size_of(item.input)
        if todo.job.mask is not None and frames is None:
            check_mask_size(todo.job.mask, width, height)
    except DipError as error:
        return {**about, "status": "failed", "reason": error.sentence, "hint": error.hint}
    cost = estimate(todo.job.task, todo.job.settings, (width, height), cores, frames)
    return {
        **about,
        "status": "planned",
        "width": width,
        "height": height,
        "seconds": round(cost.seconds, 1),
        "gigabytes": round(cost.gigabytes, 2),
    }


def _settled(outcome: Outcome) -> dict[str, Any]:
    item = outcome.item
    return {
        "name": item.name,
        "input": str(item.input),
        "output": str(item.output),
        "status": outcome.status,
        "reason": outcome.reason,
        "hint": outcome.hint,
    }
