"""Throughput: pictures per hour of ``dip-batch``, by how many are worked on at the same time.

    python tests/benchmarks/throughput.py [--data DIR] [--preset fast] [--workers 1,2] [--json F]

A folder of square pieces, denoised once with each number of workers, in turns. Without a folder of
data the pieces are cut from photos of scikit-image; with one, from its pictures with σ = 25.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import click
from PIL import Image

sys.path.insert(0, str(Path(__file__).parent))  # python -P leaves it out

from cases import cases
from scoring import Array, read

from dip_engine.processes import free_cores
from dip_engine.tasks import PRESETS

Row = dict[str, Any]


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--data", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--preset", type=click.Choice(PRESETS), default="fast", show_default=True)
@click.option("--side", default=256, show_default=True, help="Pixels of a piece.")
@click.option("--pictures", default=8, show_default=True)
@click.option("--workers", help="Numbers of workers.  [default: 1 and one per core]")
@click.option("--device", default="auto", show_default=True)
@click.option("--repeats", default=1, show_default=True)
@click.option("--json", "json_file", type=click.Path(dir_okay=False, path_type=Path))
def main(
    data: Path | None,
    preset: str,
    side: int,
    pictures: int,
    workers: str | None,
    device: str,
    repeats: int,
    json_file: Path | None,
) -> None:
    """Measure pictures per hour."""
    counts = [int(n) for n in workers.split(",")] if workers else [1, free_cores()]
    rows: list[Row] = []
    click.echo("| workers | device | seconds | pictures per hour |\n|---|---|---|---|")
    with tempfile.TemporaryDirectory(prefix="dip-throughput-") as scratch:
        folder = Path(scratch, "in")
        folder.mkdir()
        for number, piece in enumerate(_pieces(data, side, pictures)):
            Image.fromarray(piece).save(folder / f"{number:04}.png")
        for count in counts * repeats:
            row = _run(folder, preset, count, device)
            rows.append(row | {"preset": preset, "side": side, "pictures": pictures})
            click.echo(
                f"| {count} | {row['device']} | {row['seconds']:.1f} "
                f"| {row['pictures_per_hour']:.0f} |"
            )
    if json_file is not None:
        json_file.write_text(json.dumps({"rows": rows}, indent=2) + "\n")


def _run(folder: Path, preset: str, workers: int, device: str) -> Row:
    """Restore the folder and return what it took, the engines' start included."""
    with tempfile.TemporaryDirectory(prefix="dip-throughput-") as out:
        command = [sys.executable, "-P", "-m", "dip_batch", str(folder), "--task", "denoise"]
        command += ["--preset", preset, "--workers", str(workers), "--device", device]
        begin = time.perf_counter()
        done = subprocess.run([*command, "-o", out, "--json"], stdout=subprocess.PIPE, check=True)
        seconds = time.perf_counter() - begin
    report = json.loads(done.stdout)
    count = report["totals"]["done"]
    return {
        "workers": report["workers"],
        "device": report["pictures"][0]["device"],
        "seconds": seconds,
        "pictures_per_hour": 3600 * count / seconds,
    }


def _pieces(data: Path | None, side: int, count: int) -> list[Array]:
    """Cut squares from noisy pictures, over and over until there are enough."""
    noisy: list[Array] = []
    for case in cases(data):
        if case.task == "denoise":
            with tempfile.TemporaryDirectory() as folder:
                noisy.append(read(case.given(Path(folder)).input))
    pieces: list[Array] = []
    for number in range(count):
        picture = noisy[number % len(noisy)]
        height, width = picture.shape[:2]
        shift = 37 * (number // len(noisy))
        top, left = shift % max(1, height - side), shift % max(1, width - side)
        pieces.append(picture[top : top + side, left : left + side])
    return pieces


if __name__ == "__main__":
    main()
