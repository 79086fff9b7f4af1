"""The page of a comparison, and what is in it in files of their own.

``index.html`` has curves, figures, pictures and film and needs no other file; ``curves.csv`` has
the numbers of the curves, ``film.webp`` and, where PyAV is installed, ``film.mp4`` the film.
"""

from __future__ import annotations

import base64
import csv
import io
from collections.abc import Iterator
from html import escape
from pathlib import Path
from string import Template
from typing import Any

import numpy as np

from dip_engine.comparison import Comparison, Trial, to_image
from dip_engine.curves import COLORS, loss_curves, psnr_curves, psnr_label
from dip_engine.files import unwritable
from dip_engine.film import Film

Array = np.ndarray[Any, np.dtype[Any]]

FILES = ("index.html", "curves.csv", "film.webp", "film.mp4")
_LOSSLESS = 512 * 512  # pixels up to which a picture is shown as it is
_LARGEST = 1600  # pixels along the longest side of any other
_WIDEST, _SMALLEST = 520, 256  # pixels of the page that a picture takes
_TEMPLATE = Template(Path(__file__).with_suffix(".html").read_text(encoding="utf-8"))


def write(comparison: Comparison, folder: Path) -> None:
    """Write the files of a comparison whose trials were run into a folder.

    Raises:
        OutputError: it cannot be written.
    """
    try:
        _write_csv(comparison, folder / "curves.csv")
        film = Film(comparison.trials)
        film.write_webp(folder / "film.webp")
        has_mp4 = film.write_mp4(folder / "film.mp4")
        page = _page(comparison, folder / "film.webp", film.size, has_mp4=has_mp4)
        (folder / "index.html").write_text(page, encoding="utf-8")
    except OSError as error:
        raise unwritable(folder, error) from error


def _write_csv(comparison: Comparison, path: Path) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(("network", "iteration", "loss", "psnr_estimated", "psnr_to_truth"))
        for trial in comparison.trials:
            for p in trial.points:
                rows.writerow((trial.name, p.iteration, p.loss, p.estimate, p.to_truth))


def _page(comparison: Comparison, film: Path, size: tuple[int, int], *, has_mp4: bool) -> str:
    result = comparison.trials[0].result
    files = [*FILES[1:3], *(FILES[3:] if has_mp4 else ())]
    versions = result.versions
    return _TEMPLATE.substitute(
        title=escape(comparison.job.input.name),
        facts=escape(_facts(comparison)),
        stop=_STOP[comparison.is_tested],
        measure=escape(psnr_label(comparison)),
        psnr=psnr_curves(comparison),
        loss=loss_curves(comparison),
        rows="\n".join(_row(n, trial) for n, trial in enumerate(comparison.trials)),
        given="\n".join(_given(comparison)),
        results="\n".join(_results(n, trial) for n, trial in enumerate(comparison.trials)),
        film=_uri(film.read_bytes()),
        film_width=size[0],
        film_height=size[1],
        files=" · ".join(f'<a href="{name}">{name}</a>' for name in files),
        versions=escape(
            f"Deep Image Prior {versions.get('engine', '')}, torch {versions.get('torch', '')}"
        ),
    )


_STOP = {
    True: "the one that predicts best what was hidden from the fit; it has not seen the truth",
    False: "the last one, as this task hides nothing from the fit",
}


def _facts(comparison: Comparison) -> str:
    job, result = comparison.job, comparison.trials[0].result
    facts = [job.task, f"{result.width}×{result.height} pixels"]
    facts.append(f"{job.settings.iterations or 0:,} iterations")
    if result.noise_std is not None:
        source = "estimated" if job.settings.noise_std is None else "given"
        facts.append(f"noise σ {result.noise_std * 255:.1f} of 255 ({source})")
    return " · ".join([*facts, f"seed {result.seed}", f"{result.device}, {result.dtype}"])


def _row(n: int, trial: Trial) -> str:
    result, peak = trial.result, trial.peak
    alias = "" if trial.name == trial.network else f" ({trial.network})"
    cells = [
        f"{result.parameters:,}",
        f"{result.iterations:,}",
        f"{result.seconds:,.1f}",
        f"{_db(trial.stop_psnr)} <small>at {result.snapshot:,}</small>",
        "–" if peak is None else f"{peak[1]:.2f} <small>at {peak[0]:,}</small>",
        _db(trial.last_psnr),
        _db(trial.gap),
    ]
    name = f'<th scope="row">{_swatch(n)}{escape(trial.name + alias)}</th>'
    return f"<tr>{name}{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"


def _given(comparison: Comparison) -> Iterator[str]:
    level = comparison.input_psnr
    yield _figure(comparison.source.pixels, "input", "" if level is None else f"{level:.2f} dB")
    if comparison.truth is not None:
        yield _figure(comparison.truth, "truth", "")


def _results(n: int, trial: Trial) -> str:
    stop, last = trial.result.snapshot, trial.points[-1].iteration
    figures = [
        _figure(trial.stop, f"stop, iteration {stop:,}", f"{_db(trial.stop_psnr)} dB"),
        _figure(trial.last, f"last, iteration {last:,}", f"{_db(trial.last_psnr)} dB"),
    ]
    title = f"<h3>{_swatch(n)}{escape(trial.name)}</h3>"
    return f"<section>{title}<div class=pictures>{''.join(figures)}</div></section>"


def _figure(pixels: Array, words: str, value: str) -> str:
    height, width = pixels.shape[:2]
    shown = min(_WIDEST, max(_SMALLEST, width))
    kind = " class=pixels" if shown > width else ""
    image = (
        f'<img{kind} src="{_uri(_webp(pixels))}" width={shown} '
        f'height={round(shown * height / width)} alt="{words}">'
    )
    caption = f"<figcaption><span>{words}</span><b>{value}</b></figcaption>"
    return f'<figure style="width:{shown}px">{image}{caption}</figure>'


def _webp(pixels: Array) -> bytes:
    """Return a picture (0–1, H×W×C) as a WebP file."""
    image = to_image(pixels)
    file = io.BytesIO()
    if image.width * image.height <= _LOSSLESS:
        image.save(file, "WEBP", lossless=True)
    else:
        image.thumbnail((_LARGEST, _LARGEST))
        image.save(file, "WEBP", quality=90)
    return file.getvalue()


def _uri(webp: bytes) -> str:
    return f"data:image/webp;base64,{base64.b64encode(webp).decode('ascii')}"


def _swatch(n: int) -> str:
    return f'<i style="background:var(--series-{n % COLORS})"></i>'


def _db(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"
