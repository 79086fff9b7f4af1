"""The film of a comparison: all networks side by side while they learn, and then over-fit.

Pillow writes an animated WebP, which every browser shows; PyAV, an optional extra, an MP4.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from dip_engine.comparison import Trial

Array = np.ndarray[Any, np.dtype[Any]]

RATE = 10  # frames per second
HOLD = 2  # seconds that the last one is held
_SMALLEST = 240  # side of a panel that has room for its words; smaller ones are enlarged
_COLUMNS = 3
_GAP, _BAND, _LINE, _SIZE = 12, 56, 21, 16  # pixels
_PAPER, _INK, _FAINT = (22, 25, 31), (236, 239, 244), (150, 158, 171)


class Film:
    """The frames of a film, each with the name of the network and its iteration under its picture.

    Args:
        trials: the networks, which were run.
    """

    def __init__(self, trials: Sequence[Trial]) -> None:
        self.trials = trials
        # Not all of the same iterations have their pictures: the one with most sets the pace.
        self.iterations = sorted(max(trials, key=lambda trial: len(trial.frames)).frames)
        sides = [pixels.shape[:2] for trial in trials for pixels in trial.frames.values()]
        height, width = max(sides)
        self._enlarged = max(1, -(-_SMALLEST // max(height, width)))
        self._panel = max(width * self._enlarged, _SMALLEST), height * self._enlarged
        self._columns = min(len(trials), _COLUMNS)
        self._font = ImageFont.load_default(_SIZE)

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels, both even, which video wants."""
        rows = -(-len(self.trials) // self._columns)
        width = _GAP + self._columns * (self._panel[0] + _GAP)
        height = _GAP + rows * (self._panel[1] + _BAND)
        return width + width % 2, height + height % 2

    def frames(self) -> Iterator[Image.Image]:
        """Make the frames one after the other."""
        for iteration in self.iterations:
            frame = Image.new("RGB", self.size, _PAPER)
            for n, trial in enumerate(self.trials):
                row, column = divmod(n, self._columns)
                left = _GAP + column * (self._panel[0] + _GAP)
                top = _GAP + row * (self._panel[1] + _BAND)
                self._draw(frame, trial, iteration, left, top)
            yield frame

    def write_webp(self, path: Path) -> None:
        """Write it as an animated WebP, which begins anew after its end."""
        first, *rest = self.frames()
        shown = [1000 // RATE] * len(rest) + [1000 * HOLD]
        first.save(path, save_all=True, append_images=rest, duration=shown, loop=0, quality=70)

    def write_mp4(self, path: Path) -> bool:
        """Write it as an MP4; False where PyAV or its H.264 is missing."""
        try:
            import av

            av.codec.Codec("libx264", "w")
        except (ImportError, ValueError):
            return False
        width, height = self.size
        with av.open(str(path), "w") as container:
            stream = container.add_stream("libx264", rate=RATE, options={"crf": "22"})
            stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
            pictures = list(self.frames())
            for picture in pictures + pictures[-1:] * (RATE * HOLD - 1):
                container.mux(
                    stream.encode(av.VideoFrame.from_ndarray(np.asarray(picture), "rgb24"))
                )
            container.mux(stream.encode())
        return True

    def _draw(self, frame: Image.Image, trial: Trial, now: int, left: int, top: int) -> None:
        """Draw what a network shows at an iteration: its latest picture, or else its first."""
        iteration = max((i for i in trial.frames if i <= now), default=min(trial.frames))
        panel = Image.fromarray(trial.frames[iteration])
        size = panel.width * self._enlarged, panel.height * self._enlarged
        frame.paste(panel.resize(size, Image.Resampling.NEAREST), (left, top))
        draw = ImageDraw.Draw(frame)
        below, right = top + size[1] + 5, left + self._panel[0]
        value = next((p.psnr for p in trial.points if p.iteration == iteration), None)
        draw.text((left, below), trial.name, _INK, self._font)
        if value is not None:
            draw.text((right, below), f"{value:.1f} dB", _INK, self._font, anchor="ra")
        place = "  after the stop" if iteration > trial.result.snapshot else ""
        draw.text((left, below + _LINE), f"iteration {iteration:,}{place}", _FAINT, self._font)
