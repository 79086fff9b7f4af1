"""The tasks without published tables: deblurring and colours from strokes, beside others' tools.

    python tests/benchmarks/more_tasks.py --data DIR --preset balanced [--only deblur] [--json F]

Deblur: four 512×512 pictures, blurred by a Gaussian of σ = 2 or a motion of 15 pixels at 30
degrees, with noise of 2 levels. Colourise: four Kodak pictures as gray, with 200 random strokes of
their true colours, 16 pixels long; PSNR is that of the chroma (R − Y, B − Y).
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).parent))  # python -P leaves it out

import inputs
from rivals import deconvolved, propagated
from scoring import Array, Scoring, eight_bit, read
from skimage.draw import line

from dip_engine import blur
from dip_engine.client import Engine
from dip_engine.colours import chroma, luminance
from dip_engine.events import Result
from dip_engine.job import Job, Settings
from dip_engine.tasks import PRESETS

SHARP = ("F16", "lena", "peppers", "baboon")
COLOURED = ("kodim01", "kodim02", "kodim03", "kodim12")
BLURS: dict[str, tuple[Array, dict[str, Any]]] = {
    "Gaussian": (blur.gaussian(2), {"blur": "gaussian", "blur_size": 2.0}),
    "motion": (blur.motion(15, 30), {"blur": "motion", "blur_size": 15.0, "blur_angle": 30.0}),
}
STROKES, LENGTH = 200, 16

Row = dict[str, Any]


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--data", type=click.Path(exists=True, path_type=Path), required=True)
@click.option("--preset", type=click.Choice(PRESETS), default="balanced", show_default=True)
@click.option("--only", type=click.Choice(("deblur", "colourise")), help="One of the tables.")
@click.option("--blind", is_flag=True, help="Do not tell the kernels.")
@click.option("--threads", type=int, help="CPU threads.  [default: all free]")
@click.option("--json", "json_file", type=click.Path(path_type=Path))
def main(
    data: Path,
    preset: str,
    only: str | None,
    blind: bool,
    threads: int | None,
    json_file: Path | None,
) -> None:
    """Measure and print both tables."""
    tables = {"deblur": _deblur, "colourise": _colourise}
    settings = Settings(preset=preset, threads=threads, blur_size=21.0 if blind else None)
    rows: list[Row] = []
    with Engine() as engine, tempfile.TemporaryDirectory() as folder:
        for name, measure in tables.items():
            if only in (None, name):
                click.echo(f"\n### {name}, {preset}\n")
                measured = measure(engine, data / "denoise25", settings, Path(folder))
                common = {"task": name, "preset": preset}
                rows.extend(common | row for row in _printed(measured))
    if json_file is not None:
        json_file.write_text(json.dumps({"rows": rows}, indent=2) + "\n")


def _printed(rows: Iterator[Row]) -> Iterator[Row]:
    """Print rows as they come, with a header, and their means at the end."""
    seen: list[Row] = []
    for row in rows:
        if not seen:
            click.echo("| " + " | ".join(row) + " |")
            click.echo("|" + "---|" * len(row))
        seen.append(row)
        click.echo("| " + " | ".join(_cell(value) for value in row.values()) + " |")
        yield row
    numbers = [name for name, value in seen[0].items() if isinstance(value, float)]
    means = {name: float(np.mean([row[name] for row in seen])) for name in numbers}
    cells = [_cell(means[name]) if name in means else "" for name in seen[0]]
    click.echo("| " + " | ".join(["**mean**", *cells[1:]]) + " |")


def _cell(value: object) -> str:
    return f"{value:.2f}" if isinstance(value, float) else str(value)


def _deblur(engine: Engine, data: Path, settings: Settings, folder: Path) -> Iterator[Row]:
    for kind, (kernel, told) in BLURS.items():
        known = replace(settings, **told) if settings.blur_size is None else settings
        for name in SHARP:
            given = inputs.blurred(data / f"{name}_GT.png", folder, kernel=kernel, noise=2)
            truth, blurred = given.truth, read(given.input)
            picture, parts, seconds = _restored(engine, "deblur", blurred, known, folder)
            score = Scoring()
            yield {
                "picture": name,
                "blur": kind,
                "blurred": score.psnr(blurred, truth),
                **deconvolved(blurred, kernel, truth),
                "start": score.psnr(parts["start"], truth),
                "fit": score.psnr(parts["fit"], truth),
                "ours": score.psnr(picture, truth),
                "seconds": seconds,
            }


def _colourise(engine: Engine, data: Path, settings: Settings, folder: Path) -> Iterator[Row]:
    for name in COLOURED:
        truth = read(data / f"{name}_GT.png")
        gray = np.rint(luminance(truth.astype(np.float32))).astype(np.uint8)
        strokes = _strokes(gray.shape)
        hints = np.dstack([truth, np.where(strokes, 255, 0).astype(np.uint8)])
        Image.fromarray(hints).save(folder / "hints.png")
        picture, parts, seconds = _restored(
            engine, "colourise", gray, settings, folder, guide=folder / "hints.png"
        )
        yield {
            "picture": name,
            "gray": _chroma_psnr(np.dstack([gray] * 3), truth),
            "Levin": _chroma_psnr(propagated(gray, truth, strokes), truth),
            "fit": _chroma_psnr(parts["fit"], truth),
            "ours": _chroma_psnr(picture, truth),
            "seconds": seconds,
        }


def _restored(
    engine: Engine, task: str, picture: Array, settings: Settings, folder: Path, **more: Path
) -> tuple[Array, dict[str, Array], float]:
    """Return the restored picture, what it was joined from, and the seconds it took."""
    Image.fromarray(picture).save(folder / "in.png")
    job = Job(task, folder / "in.png", folder / "out.png", settings=settings, parts=folder, **more)
    *_, result = engine.run(job)
    assert isinstance(result, Result)
    parts = {name: eight_bit(np.load(folder / f"{name}.npy")) for name in ("start", "fit")}
    return read(folder / "out.png"), parts, result.seconds


def _strokes(shape: tuple[int, ...]) -> Array:
    random = np.random.default_rng(0)
    there = np.zeros(shape, bool)
    for _ in range(STROKES):
        y, x, angle = random.integers(shape[0]), random.integers(shape[1]), random.random() * np.pi
        down, across = np.sin(angle) * LENGTH / 2, np.cos(angle) * LENGTH / 2
        ends = (y - down, x - across, y + down, x + across)
        rows, columns = line(*(round(end) for end in ends))
        for thick in (0, 1):
            inside = (rows + thick >= 0) & (rows + thick < shape[0])
            inside &= (columns >= 0) & (columns < shape[1])
            there[rows[inside] + thick, columns[inside]] = True
    return there


def _chroma_psnr(picture: Array, truth: Array) -> float:
    difference = chroma(picture / np.float32(255)) - chroma(truth / np.float32(255))
    return float(-10 * np.log10(np.mean(difference**2)))


if __name__ == "__main__":
    main()
