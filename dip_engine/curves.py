"""The curves of a comparison, as SVG that takes its colours from the page it stands in.

matplotlib is an optional extra and imported where it is used. It is asked for colours that nobody
would choose, which then become variables of CSS: one drawing serves a light and a dark page.
"""

from __future__ import annotations

import io
import math
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from dip_engine.comparison import Comparison, Trial
from dip_engine.errors import DipError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLORS = 8  # of the page, --series-0 …
_INK, _FAINT, _PAPER = "#0000e0", "#0000e1", "#0000e2"
_SERIES = [f"#0000f{n}" for n in range(COLORS)]
_VARIABLES = {_INK: "--ink", _FAINT: "--faint", _PAPER: "--paper"}
_VARIABLES |= {color: f"--series-{n}" for n, color in enumerate(_SERIES)}
_FONT = "system-ui, sans-serif"
_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",  # text stays text
    "font.family": "sans-serif",
    "font.size": 10,
    "text.color": _INK,
    "axes.edgecolor": _FAINT,
    "axes.labelcolor": _INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": _FAINT,
    "grid.linewidth": 0.5,
    "grid.alpha": 0.6,
    "xtick.color": _FAINT,
    "ytick.color": _FAINT,
    "xtick.labelcolor": _INK,
    "ytick.labelcolor": _INK,
    "legend.frameon": False,
    "lines.linewidth": 1.8,
}
_WIDTH, _HEIGHT, _LINE = 6.4, 3.9, 0.2  # inches of 72 points
_SPACE = "\u2003"  # one em, which a page does not shrink
_ROOM = 1.5  # dB below what the curves come to


@dataclass(frozen=True, slots=True)
class _Curve:
    """What is drawn of a trial.

    Attributes:
        name: of the network.
        points: iteration and value.
        stop, peak: points to be marked, or None.
        note: figures for the legend.
    """

    name: str
    points: list[tuple[int, float]]
    stop: tuple[int, float] | None = None
    peak: tuple[int, float] | None = None
    note: str = ""


def require_matplotlib() -> None:
    """Find out before the work that curves can be drawn.

    Raises:
        DipError: matplotlib is not installed.
    """
    try:
        import matplotlib.figure  # noqa: F401
    except ImportError as error:
        raise DipError(
            "The curves cannot be drawn: matplotlib is not installed.",
            "Install it: pip install 'deep-image-prior[report]'.",
        ) from error


def psnr_curves(comparison: Comparison) -> str:
    """Draw PSNR over iterations, with the stop and the peak of each network, as an SVG element."""
    curves = [_psnr_curve(trial) for trial in comparison.trials]
    with _drawing("psnr", curves) as (figure, axes):
        axes.set_ylabel(psnr_label(comparison))
        level = comparison.input_psnr
        marks = [mark[1] for curve in curves for mark in (curve.stop, curve.peak) if mark]
        ends = [level] + [trial.last_psnr for trial in comparison.trials]
        reached = marks + [value for value in ends if value is not None]
        if reached:
            room = _ROOM + 0.1 * (max(reached) - min(reached))
            axes.set_ylim(min(reached) - room, max(reached) + room)
        if level is not None:
            axes.axhline(level, color=_INK, linewidth=0.8, dashes=(4, 3), gid="psnr-input")
            axes.annotate(
                f"input {level:.1f} dB",
                (0.99, level),
                xycoords=axes.get_yaxis_transform(),
                xytext=(0, -3),
                textcoords="offset points",
                ha="right",
                va="top",
                fontsize=9,
            )
        return _svg(figure)


def loss_curves(comparison: Comparison) -> str:
    """Draw the loss over iterations, with the stop of each network, as an SVG element."""
    curves = [_loss_curve(trial) for trial in comparison.trials]
    with _drawing("loss", curves) as (figure, axes):
        axes.set_ylabel("loss (mean squared error)")
        axes.set_yscale("log")
        return _svg(figure)


def psnr_label(comparison: Comparison) -> str:
    """Return what the PSNR of a comparison is measured against."""
    if comparison.truth is not None:
        return "PSNR to the truth (dB)"
    if comparison.is_tested:
        return "PSNR to held-out input values (dB)"
    return "PSNR to the input (dB)"


def _psnr_curve(trial: Trial) -> _Curve:
    points = _known((p.iteration, p.psnr) for p in trial.points)
    if trial.stop_psnr is None or trial.peak is None:
        return _Curve(trial.name, points)
    stop = trial.result.snapshot, trial.stop_psnr
    figures = [f"● stop {stop[1]:.2f}", f"▼ peak {trial.peak[1]:.2f}"]
    if trial.last_psnr is not None:
        figures.append(f"end {trial.last_psnr:.2f} dB")
    return _Curve(trial.name, points, stop, trial.peak, _SPACE.join(figures))


def _loss_curve(trial: Trial) -> _Curve:
    points = [(x, y) for x, y in _known((p.iteration, p.loss) for p in trial.points) if y > 0]
    if not points:
        return _Curve(trial.name, points)
    stop = min(points, key=lambda point: abs(point[0] - trial.result.snapshot))
    note = f"● stop {stop[1]:.3g}{_SPACE}end {points[-1][1]:.3g}"
    return _Curve(trial.name, points, stop, note=note)


def _known(points: Iterable[tuple[int, float | None]]) -> list[tuple[int, float]]:
    """Return the points that have a value; of several with the same, the first.

    The engine looks at its numbers every few iterations, and tells the same ones until then.
    """
    known = [(x, y) for x, y in points if y is not None and math.isfinite(y)]
    return [next(same) for _, same in groupby(known, key=itemgetter(1))]


@contextmanager
def _drawing(name: str, curves: Sequence[_Curve]) -> Iterator[tuple[Figure, Axes]]:
    """Give a figure with the curves, their marks and a legend in it."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context({**_STYLE, "svg.hashsalt": name}):
        figure = Figure(figsize=(_WIDTH, _HEIGHT + _LINE * len(curves)), layout="constrained")
        axes = figure.add_subplot()
        for n, curve in enumerate(curves):
            x, y = ([point[side] for point in curve.points] for side in (0, 1))
            label = _SPACE.join(part for part in (curve.name, curve.note) if part)
            axes.plot(x, y, color=_color(n), label=label, gid=f"{name}-{curve.name}")
            for kind, mark in (("peak", curve.peak), ("stop", curve.stop)):
                if mark:
                    _put(axes, mark, kind, _color(n), f"{name}-{kind}-{curve.name}")
        axes.set_xlabel("iteration")
        axes.xaxis.set_major_formatter("{x:,.0f}")
        figure.legend(loc="outside upper left", labelspacing=0.3)
        yield figure, axes


def _put(axes: Axes, mark: tuple[int, float], kind: str, color: str, name: str) -> None:
    axes.plot(
        [mark[0]],
        [mark[1]],
        marker="o" if kind == "stop" else "v",
        markersize=8,
        color=color,
        markeredgecolor=_PAPER,
        clip_on=False,
        zorder=3 if kind == "peak" else 4,
        gid=name,
    )


def _color(n: int) -> str:
    return _SERIES[n % COLORS]


def _svg(figure: Figure) -> str:
    """Return the figure as an element of a page, in the page's colours."""
    file = io.BytesIO()
    none: Any = None
    metadata = {"Date": none, "Creator": none, "Format": none, "Type": none}
    figure.savefig(file, format="svg", transparent=True, metadata=metadata)
    text = file.getvalue().decode()
    text = text[text.index("<svg") :]
    text = re.sub(r' id="[a-z0-9.]+_\d+"', "", text)  # not unique in a page, and of no use
    text = re.sub(r' (width|height)="[0-9.]+pt"', "", text, count=2)
    text = re.sub(r"font: ([0-9.]+px) [^;\"]*", rf"font: \1 {_FONT}", text)
    for color, variable in _VARIABLES.items():
        text = text.replace(color, f"var({variable})")
    return text
