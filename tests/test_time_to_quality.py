"""The benchmark of time: its curves, its counts, and a run of it on a small picture."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from click.testing import CliRunner

sys.path.insert(0, str(Path(__file__).with_name("benchmarks")))

import baseline
import recorded
import throughput
import time_to_quality
from baseline import Baseline, Timing
from cases import Case, cases, chosen
from inputs import Given
from races import Race, _slope
from recorded import Curve, digest, record
from roofline import Cost, Machine, cost_of, measure_machine
from scoring import read
from time_to_quality import Reference

SIDE = 64


def case_of(task: str) -> Case:
    return next(case for case in cases(None, SIDE) if case.task == task)


@pytest.fixture
def case() -> Case:
    return case_of("denoise")


@pytest.fixture
def given(case: Case, tmp_path: Path) -> Given:
    return case.given(tmp_path)


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a fit of the baseline end after 30 iterations."""
    recipe_for = baseline.recipe_for

    def shorter(*args: Any, **options: Any) -> Any:
        return replace(recipe_for(*args, **options), iterations=30)

    monkeypatch.setattr(baseline, "recipe_for", shorter)
    monkeypatch.setattr(recorded, "EVERY", 5)
    monkeypatch.setattr(recorded, "SAVE", 10)


@pytest.mark.parametrize("task", ["denoise", "inpaint", "super-resolution", "deblur"])
def test_the_baseline_learns_the_picture(task: str, tmp_path: Path) -> None:
    case = case_of(task)
    fit = Baseline(case, case.given(tmp_path))
    assert fit.network.__class__.__name__ == "Skip"
    fit.step()
    first = fit.psnr()
    for _ in range(24):
        fit.step()
    assert fit.iteration == 25
    assert fit.psnr()[0] > first[0] + 1
    assert len(list(fit.network.parameters())) > 50


def test_the_baseline_keeps_known_pixels(tmp_path: Path) -> None:
    case = case_of("inpaint")
    given = case.given(tmp_path)
    fit = Baseline(case, given)
    fit.step()
    assert given.mask is not None
    known = read(given.mask) == 0
    assert np.array_equal(fit._shown(fit.output)[known], read(given.input)[known])


@pytest.mark.usefixtures("short")
def test_a_recording_goes_on_where_it_was(case: Case, given: Given, tmp_path: Path) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    for folder in (whole, parts):
        folder.mkdir()
    *_, curve = record(case, given, "cpu", whole)
    assert curve.iterations == [5, 10, 15, 20, 25, 30]
    assert curve.complete
    stopped = record(case, given, "cpu", parts)
    next(stopped)
    stopped.close()
    begun = Curve.of(case, given, parts)
    assert begun is not None
    assert not begun.complete
    assert begun.iterations == [5, 10]
    *_, resumed = record(case, given, "cpu", parts)
    assert resumed.averaged == curve.averaged
    assert resumed.raw == curve.raw
    assert [path.name for path in parts.iterdir()] == [f"{case.name}.json"]
    assert list(record(case, given, "cpu", parts)) == []


@pytest.mark.usefixtures("short")
def test_a_curve_is_of_its_input_alone(case: Case, given: Given, tmp_path: Path) -> None:
    folder = tmp_path / "curves"
    folder.mkdir()
    *_, curve = record(case, given, "cpu", folder)
    assert Curve.of(case, given, folder) == curve
    given.input.write_bytes((tmp_path / "truth_GT.png").read_bytes())
    assert digest(given) != curve.input
    assert Curve.of(case, given, folder) is None


@pytest.mark.parametrize(
    ("wanted", "one", "names"),
    [
        ([], True, {"denoise-coffee-64", "inpaint-coffee-64", "deblur-coffee-64"}),
        (["denoise"], True, {"denoise-coffee-64"}),
        (["denoise-rocket"], True, {"denoise-rocket-64"}),
        (["denoise-rocket-64", "deblur"], True, {"denoise-rocket-64", "deblur-coffee-64"}),
        (["denoise"], False, {f"denoise-{name}-64" for name in ("coffee", "chelsea", "rocket")}),
        (["nonsense"], True, set()),
    ],
)
def test_cases_are_chosen_by_task_or_name(wanted: list[str], one: bool, names: set[str]) -> None:
    found = [case for case in cases(None, SIDE) if case.task != "super-resolution"]
    assert {case.name for case in chosen(found, wanted, one=one)} == names


def test_the_recorded_curves_are_whole() -> None:
    paths = [
        path for path in recorded.FOLDER.glob("*.json") if not path.with_suffix(".pt").exists()
    ]
    assert paths
    for path in paths:
        curve = Curve(**json.loads(path.read_text()))
        assert curve.complete
        assert len(curve.iterations) == len(curve.raw) == len(curve.averaged)
        assert curve.iterations == sorted(set(curve.iterations))
        assert {"date", "program", "torch", "device"} <= set(curve.origin)


def test_the_ratio_is_of_the_same_quality() -> None:
    curve = Curve("x", [10, 20, 30], [20.0, 25.0, 24.0], [19.0, 29.95, 30.0], {"date": "now"}, True)
    reference = Reference.of([Timing((2.0, 9.0), 1.0), Timing((2.0,), 1.0)], curve)
    assert reference.target == pytest.approx(29.9)
    assert reference.seconds == 40
    assert reference.ratio(4) == 10
    assert reference.ratio(None) is None
    unknown = Reference.of([Timing((2.0,), 1.0)], None)
    assert unknown.ratio(4) is None
    assert "not recorded" in str(unknown)
    curve.complete = False
    assert Reference.of([Timing((2.0,), 1.0)], curve).target is None


def test_a_race_is_won_by_the_first_picture_that_is_good_enough() -> None:
    shown = ((1.0, 20.0), (2.0, 31.0), (3.0, 32.0), (4.0, 30.0))
    race: Any = Race(shown, 0.5, (1.0, 20.0), 0.1, None, None)  # type: ignore[arg-type]
    assert race.reaches(30.5) == 2
    assert race.reaches(33) is None
    assert race.reaches(None) is None
    assert race.stop_gap == 2


def test_the_seconds_of_an_iteration_are_those_of_the_fit() -> None:
    assert _slope([(1.0, 5), (2.0, 15)]) == pytest.approx(0.1)
    assert _slope([(1.0, 5)]) is None
    assert _slope([(1.0, 5), (2.0, 5)]) is None


def test_flops_and_bytes_are_counted() -> None:
    x = torch.rand(1, 4, 16, 16, requires_grad=True)
    weight = torch.rand(8, 4, 3, 3, requires_grad=True)
    forward = 2 * 9 * 4 * 8 * 16 * 16
    assert cost_of(lambda: F.conv2d(x, weight, padding=1)).flops == forward
    both = cost_of(lambda: F.conv2d(x, weight, padding=1).sum().backward())
    assert both.flops == 3 * forward
    y = torch.zeros(1000)
    assert cost_of(lambda: y + 1).bytes == 8000
    assert cost_of(lambda: y.view(10, 100).t()).bytes == 0
    assert cost_of(lambda: y.add_(1)).bytes == 8000
    assert Machine(10.0, 100.0).bound(Cost(20, 100)) == 2


@pytest.mark.slow
def test_the_machine_is_measured() -> None:
    machine = measure_machine(torch.device("cpu"), torch.float32)
    assert 1e8 < machine.flops < 1e15
    assert 1e8 < machine.bytes < 1e14


@pytest.mark.slow
@pytest.mark.usefixtures("short")
def test_a_run_prints_its_tables_and_writes_its_rows(
    case: Case, given: Given, tmp_path: Path
) -> None:
    curves, file = tmp_path / "curves", tmp_path / "rows.json"
    common = ["--side", str(SIDE), "--only", "denoise", "--curves", str(curves)]
    run = CliRunner().invoke(time_to_quality.main, [*common, "--record"])
    assert run.exit_code == 0, run.output
    options = ["--presets", "fast", "--json", str(file), "--device", "cpu"]
    run = CliRunner().invoke(time_to_quality.main, [*common, *options])
    assert run.exit_code == 0, run.output
    assert "| fast, fit alone |" in run.stdout
    assert "| iteration of |" in run.stdout
    rows = {row["preset"]: row for row in json.loads(file.read_text())["rows"]}
    assert {"fast", "fast, fit alone", "NLM (scikit-image)"} <= set(rows)
    row = rows["fast"]
    assert row["task"] == "denoise"
    assert row["picture"] == "coffee"
    assert row["baseline"]["best"] < row["psnr"]
    assert row["seconds"] <= row["total_seconds"]
    assert row["ratio"] == pytest.approx(
        row["baseline"]["per_iteration"] * row["baseline"]["iterations"] / row["seconds"]
    )
    assert row["first_seconds"] < row["total_seconds"]


def test_a_quick_run_leaves_out_fits_that_take_minutes(tmp_path: Path) -> None:
    alone = {}
    for quick in (True, False):
        asked = time_to_quality.Asked(None, SIDE, ("fast",), quick, tmp_path, "cpu", None)
        alone[quick] = {case.task for case in cases(None, SIDE) if True in asked.ways(case)}
    assert alone[True] == {"denoise"}
    assert alone[False] == {"denoise", "inpaint", "super-resolution", "deblur"}


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--only", "nothing"], "None of the cases is called nothing."),
        (["--presets", "fast,quick"], "There is no preset quick."),
        (["--data", "nowhere"], "does not exist"),
    ],
)
def test_wrong_usage_is_told(arguments: list[str], sentence: str) -> None:
    run = CliRunner().invoke(time_to_quality.main, ["--side", "64", *arguments])
    assert run.exit_code == 2
    assert sentence in run.stderr


@pytest.mark.slow
def test_throughput_is_measured(tmp_path: Path) -> None:
    file = tmp_path / "rows.json"
    arguments = ["--side", "32", "--pictures", "2", "--workers", "2", "--json", str(file)]
    run = CliRunner().invoke(throughput.main, [*arguments, "--device", "cpu"])
    assert run.exit_code == 0, run.output
    (row,) = json.loads(file.read_text())["rows"]
    assert row["workers"] == 2
    assert row["pictures_per_hour"] == pytest.approx(2 * 3600 / row["seconds"])
