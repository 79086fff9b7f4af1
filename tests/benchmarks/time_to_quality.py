"""Time to quality: how much sooner than the published method the same picture is there.

    python tests/benchmarks/time_to_quality.py [--data DIR] [--quick] [--json F]

Per picture the baseline (see `baseline`) and each preset run in turns on the same machine. The
baseline's seconds per iteration are measured in the run; how many it needs comes from a recorded
curve (see `recorded`), which ``--record`` makes. A preset has arrived at the first picture it shows
that is no more than 0.1 dB below the best average of the whole recorded fit. Its seconds count from
the job in a warm engine process and include writing and joining the 40 pictures that are looked at.
"""

from __future__ import annotations

import json
import multiprocessing
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any, Self

import click

sys.path.insert(0, str(Path(__file__).parent))  # python -P leaves it out

import torch
from baseline import Timing, time_baseline
from cases import QUICK, Case, cases, chosen
from costs import cost_of_baseline, cost_of_fit
from inputs import Given
from peers import Peer, peers_of
from races import Race, race
from recorded import FOLDER, MARGIN, Curve, record
from report import Column, cells, line, machine
from roofline import Cost, Machine, measure_machine

from dip_engine.device import choose_device, choose_format, prepared
from dip_engine.job import Settings
from dip_engine.tasks import PRESETS

Row = dict[str, Any]

STEPS = 3  # of the baseline, in each of its turns
OURS = ("fast", "balanced", "best")
COLUMNS: tuple[Column, ...] = (
    ("preset", "preset", ""),
    ("seconds", "seconds", ".1f"),
    ("ratio", "ratio", ".0f"),
    ("CBM3D after", "seconds_classical", ".1f"),
    ("first", "first_seconds", ".1f"),
    ("start", "start_seconds", ".1f"),
    ("start dB", "psnr_start", ".2f"),
    ("dB", "psnr", ".2f"),
    ("stop gap", "stop_gap", ".2f"),
    ("in all", "total_seconds", ".1f"),
    ("s/iteration", "seconds_per_iteration", ".3f"),
    ("peak MB", "peak_mb", ".0f"),
)
ROOFLINE: tuple[Column, ...] = (
    ("iteration of", "preset", ""),
    ("GFLOP", "gflop", ".1f"),
    ("MB", "mb", ".0f"),
    ("bound s", "bound", ".4f"),
    ("measured s", "seconds", ".4f"),
    ("% of peak FLOPs", "flops_share", ".0f"),
    ("% of peak bytes", "bytes_share", ".0f"),
    ("peak GFLOP/s", "peak_flops", ".0f"),
    ("peak GB/s", "peak_bytes", ".1f"),
)


@dataclass(frozen=True, slots=True)
class Run:
    """A race and what was asked for."""

    name: str
    settings: Settings
    race: Race


@dataclass(frozen=True, slots=True)
class Reference:
    """The baseline, as far as it is known.

    Attributes:
        per_iteration: seconds, measured in this run.
        peak_mb: of its process.
        best: dB of its average at its best, or None where no curve was recorded.
        target: dB that count as reached.
        iterations: to the target.
        origin: of the curve.
    """

    per_iteration: float
    peak_mb: float | None
    best: float | None = None
    target: float | None = None
    iterations: int | None = None
    origin: dict[str, Any] | None = None

    @classmethod
    def of(cls, timings: list[Timing], curve: Curve | None) -> Self:
        """Join what was timed with what was recorded."""
        per_iteration = median(second for timing in timings for second in timing.seconds)
        peak = timings[0].peak_mb
        if curve is None or not curve.complete:  # or its best is still to come
            return cls(per_iteration, peak)
        target = curve.best - MARGIN
        return cls(per_iteration, peak, curve.best, target, curve.reaches(target), curve.origin)

    @property
    def seconds(self) -> float | None:
        """To the target."""
        return None if self.iterations is None else self.per_iteration * self.iterations

    def ratio(self, seconds: float | None) -> float | None:
        """Return how much sooner something is that took so many seconds."""
        return None if None in (seconds, self.seconds) else self.seconds / seconds

    def __str__(self) -> str:
        cost = f"Baseline: {self.per_iteration:.2f} s per iteration, {self.peak_mb} MB"
        if self.best is None:
            return f"{cost}; its curve is not recorded (--record), so there is no ratio."
        when = self.origin["date"] if self.origin else ""
        return (
            f"{cost}; best average {self.best:.2f} dB, less {MARGIN} after "
            f"{self.iterations} iterations (recorded {when}): {self.seconds:.0f} s."
        )


@dataclass(frozen=True, slots=True)
class Asked:
    """What holds for all rows.

    Attributes:
        data: folder of pictures, or None.
        side: see `cases`.
        presets: names, in turns.
        quick: the fit alone runs only where noise goes: elsewhere it takes minutes.
        curves: folder of the recorded ones.
        device, threads: see `Settings`.
    """

    data: Path | None
    side: int | None
    presets: tuple[str, ...]
    quick: bool
    curves: Path
    device: str
    threads: int | None

    def ways(self, case: Case) -> tuple[bool, ...]:
        """Return whether the fit is to stand alone, for each of a preset's runs."""
        return (False,) if self.quick and case.task != "denoise" else (False, True)

    def settings(self, case: Case, preset: str, *, fit_only: bool = False) -> Settings:
        """Return what a user would ask for."""
        return case.settings_for(
            preset, fit_only=fit_only, device=self.device, threads=self.threads
        )


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--data",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Folder of the pictures.  [default: photos of scikit-image]",
)
@click.option(
    "--quick",
    is_flag=True,
    help="256×256 pixels, one picture a task (or --only those), in ten minutes.",
)
@click.option(
    "--side", type=click.IntRange(64), help="The middle of that side, one picture a task."
)
@click.option(
    "--presets",
    metavar="PRESET,…",
    default=None,
    help="Which of ours run.  [default: fast,balanced,best; with --quick balanced]",
)
@click.option("--only", metavar="NAME,…", default="", help="Cases or tasks, e.g. denoise-F16.")
@click.option("--record", "recording", is_flag=True, help="Record the baseline (hours), go on.")
@click.option(
    "--curves",
    type=click.Path(file_okay=False, path_type=Path),
    default=FOLDER,
    help="Folder of the recorded curves.  [default: those of this program]",
)
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda …")
@click.option("--threads", type=click.IntRange(1, 4096), help="CPU threads.  [default: all free]")
@click.option("--json", "json_file", type=click.Path(dir_okay=False, path_type=Path))
def main(
    data: Path | None,
    quick: bool,
    side: int | None,
    presets: str | None,
    only: str,
    recording: bool,
    curves: Path,
    device: str,
    threads: int | None,
    json_file: Path | None,
) -> None:
    """Measure how soon the published method's best picture is there."""
    side = side or (QUICK if quick else None)
    names = presets or ("balanced" if quick else ",".join(OURS))
    device = str(choose_device(device))
    asked = Asked(data, side, _presets(names), quick, curves, device, threads)
    wanted = [name for name in only.split(",") if name]
    entered = chosen(cases(data, side), wanted, one=side is not None)
    if not entered:
        raise click.UsageError(f"None of the cases is called {only}.")
    with prepared(Settings(threads=threads)):
        if recording:
            _record(entered, asked)
            return
        rows: list[Row] = []
        for case in entered:
            with tempfile.TemporaryDirectory() as folder:
                rows += _measured(case, case.given(Path(folder)), asked)
            if json_file is not None:
                computer = machine() | {"threads": torch.get_num_threads()}
                values = {"machine": computer, "rows": rows}
                json_file.write_text(json.dumps(values, indent=2) + "\n")


def _presets(names: str) -> tuple[str, ...]:
    split = tuple(name.strip() for name in names.split(","))
    if unknown := [name for name in split if name not in PRESETS]:
        raise click.UsageError(f"There is no preset {unknown[0]}. They are: {', '.join(PRESETS)}.")
    return split


def _record(entered: list[Case], asked: Asked) -> None:
    asked.curves.mkdir(parents=True, exist_ok=True)
    for case in entered:
        with tempfile.TemporaryDirectory() as folder:
            for curve in record(case, case.given(Path(folder)), asked.device, asked.curves):
                click.echo(
                    f"{case.name}: iteration {curve.iterations[-1]}, {curve.averaged[-1]:.2f} dB, "
                    f"best {curve.best:.2f} dB, {curve.origin['seconds']} s",
                    err=True,
                )


def _measured(case: Case, given: Given, asked: Asked) -> list[Row]:
    """Run baseline and presets in turns, print the tables of a case, and return its rows."""
    timings: list[Timing] = []
    runs: list[Run] = []
    for preset in asked.presets:
        for fit_only in asked.ways(case):
            settings = asked.settings(case, preset, fit_only=fit_only)
            name = f"{preset}, fit alone" if fit_only else preset
            click.echo(f"{case.name}: baseline, {name} …", err=True)
            timings.append(_time_baseline(case, asked))
            runs.append(Run(name, settings, race(case, given, settings)))
    baseline = Reference.of(timings, Curve.of(case, given, asked.curves))
    common = {"task": case.task, "picture": case.picture, "side": case.side}
    rows = [common | _row(case, run, baseline) for run in runs]
    rows += [common | _peer_row(peer, baseline) for peer in peers_of(case, given)]
    click.echo(f"\n### {case.name}\n\n{baseline}\n")
    click.echo(_table(COLUMNS, rows))
    click.echo(_table(ROOFLINE, _roofline(case, given, runs, baseline, asked)))
    return rows


def _time_baseline(case: Case, asked: Asked) -> Timing:
    """Time the baseline in a process of its own, which keeps its memory apart."""
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawn) as pool:
        return pool.submit(
            time_baseline,
            asked.data,
            asked.side,
            case.name,
            STEPS,
            device=asked.device,
            threads=asked.threads,
        ).result()


def _row(case: Case, run: Run, baseline: Reference) -> Row:
    done, result = run.race, run.race.result
    seconds = done.reaches(baseline.target)
    return {
        "preset": run.name,
        "seconds": seconds,
        "ratio": baseline.ratio(seconds),
        "seconds_classical": done.reaches(case.classical),
        "first_seconds": done.first,
        "start_seconds": done.start and done.start[0],
        "psnr_start": done.start and done.start[1],
        "psnr": done.psnr,
        "stop_gap": done.stop_gap,
        "total_seconds": done.points[-1][0],
        "seconds_per_iteration": done.per_iteration,
        "peak_mb": done.peak_mb,
        "iterations": result.iterations,
        "network": result.network,
        "device": result.device,
        "dtype": result.dtype,
        "seed": run.settings.seed,
        "points": [[round(second, 2), round(psnr, 3)] for second, psnr in done.points],
        "baseline": asdict(baseline),
        "versions": result.versions,
    }


def _peer_row(peer: Peer, baseline: Reference) -> Row:
    arrived = baseline.target is not None and peer.psnr >= baseline.target
    return {
        "preset": peer.name,
        "seconds": peer.seconds if arrived else None,
        "ratio": baseline.ratio(peer.seconds) if arrived else None,
        "psnr": peer.psnr,
        "total_seconds": peer.seconds,
        "stop_gap": None,
        "peak_mb": None,
    }


def _roofline(
    case: Case, given: Given, runs: list[Run], baseline: Reference, asked: Asked
) -> Iterator[Row]:
    """Yield what an iteration costs, and which part of the machine's peaks it reaches.

    Of a preset the fit alone is taken, where it ran: its iterations are not mixed with joining.
    """
    device = torch.device(asked.device)
    plain = measure_machine(device, torch.float32)
    yield _costs("baseline", cost_of_baseline(case, given), plain, baseline.per_iteration)
    for run in {run.settings.preset: run for run in runs}.values():
        dtype = choose_format(device, run.settings)
        fast = plain if dtype is torch.float32 else measure_machine(device, dtype)
        cost = cost_of_fit(case, given, run.settings, dtype)
        yield _costs(run.name, cost, fast, run.race.per_iteration)


def _costs(name: str, cost: Cost, peaks: Machine, seconds: float | None) -> Row:
    return {
        "preset": name,
        "gflop": cost.flops / 1e9,
        "mb": cost.bytes / 1e6,
        "bound": peaks.bound(cost),
        "seconds": seconds,
        "flops_share": seconds and 100 * cost.flops / seconds / peaks.flops,
        "bytes_share": seconds and 100 * cost.bytes / seconds / peaks.bytes,
        "peak_flops": peaks.flops / 1e9,
        "peak_bytes": peaks.bytes / 1e9,
    }


def _table(columns: Sequence[Column], rows: Iterable[Row]) -> str:
    head = [line(heading for heading, _, _ in columns), line("---" for _ in columns)]
    return "\n".join([*head, *(line(cells(row, columns)) for row in rows)]) + "\n"


if __name__ == "__main__":
    main()
