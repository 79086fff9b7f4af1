"""What an iteration of the baseline and of our fits costs, counted."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
from baseline import Baseline
from cases import Case
from inputs import Given
from roofline import Cost, cost_of

from dip_engine import masks, picture
from dip_engine.finishing import ValueRange
from dip_engine.fit import fit
from dip_engine.job import Job, Settings
from dip_engine.task_work import make_work


def cost_of_baseline(case: Case, given: Given) -> Cost:
    """Count an iteration of the published method."""
    baseline = Baseline(case, given)
    baseline.step()
    return cost_of(baseline.step)


def cost_of_fit(case: Case, given: Given, settings: Settings, dtype: torch.dtype) -> Cost:
    """Count an iteration of ours, on the first tile, without its classical start."""
    settings = replace(settings, fit_only=True)
    job = Job(case.task, given.input, Path("none.png"), mask=given.mask, settings=settings)
    source = picture.read(job.input)
    mask = masks.find_mask(job, source)
    work = make_work(job, source, ValueRange.of(source.pixels), mask, [])
    tile = work.tiles[0]
    start = tile.scaled(work.factor).cut(work.first()).copy()
    problem = work.problem(tile, start, torch.device("cpu"))
    steps = fit(problem, work.recipe, seed=0, dtype=dtype, held=work.held(tile, problem, 0))
    next(steps)
    return cost_of(lambda: next(steps))
