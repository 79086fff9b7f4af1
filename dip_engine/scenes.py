"""From the frames of a scene to work: each frame's classical start, made with its neighbours' help.

    task               what the neighbours give
    denoise            groups of similar patches, see `clip_estimate`
    inpaint            what is behind a hole, see `clip_fill`
    super-resolution   nothing but the weights that the fit starts from

A scene takes its frames one by one and gives them back some frames later, in the same order.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from dip_engine import masks
from dip_engine.alignment import Shift
from dip_engine.clip_estimate import ClipEstimate
from dip_engine.clip_fill import Neighbour, fill_from
from dip_engine.clips import Frame
from dip_engine.denoising import Denoising
from dip_engine.enlarging import Enlarging
from dip_engine.errors import MaskError
from dip_engine.inpainting import Inpainting
from dip_engine.job import Settings
from dip_engine.noise import Noise
from dip_engine.tiling import Tile
from dip_engine.work import Start, Work, to_array, to_tensor

Array = np.ndarray[Any, np.dtype[Any]]
Preparing = Generator[float, None, list["Prepared"]]

FAR = 8  # frames before and after one in which its holes are looked for


@dataclass(frozen=True, slots=True)
class Masked:
    """A frame, and what of it is to be restored.

    Attributes:
        frame: as it was read.
        mask: float32 H×W, 1 = restore, or None for all.
    """

    frame: Frame
    mask: Array | None

    @property
    def is_done(self) -> bool:
        """True when nothing is to be restored."""
        return self.mask is not None and not self.mask.any()


@dataclass(frozen=True, slots=True)
class Prepared:
    """A frame that is ready for its fit.

    Attributes:
        masked: the frame.
        base: H×W×C, what there is where no fit is needed.
        needed: bool H×W, where it is, or None for the whole frame.
        work: what to do, or None where nothing is left to do.
    """

    masked: Masked
    base: Array
    needed: Array | None
    work: Work | None


class Scene:
    """The frames between two cuts."""

    def add(self, masked: Masked, shift: Shift) -> Preparing:
        """Take the next frame, moved by `shift` pixels since the one before.

        Yields:
            The share of one frame's preparation that was done; stop iterating to cancel.

        Returns:
            The frames that are ready now.
        """
        raise NotImplementedError

    def end(self) -> Preparing:
        """Return the frames that are left, after the last one."""
        yield 0.0
        return []


class ClipDenoising(Denoising):
    """Denoising whose start is made from several frames.

    Attributes:
        estimate: the start, of the shape that is worked on; to be set before it is asked for.
    """

    estimate: Array

    def start(self, tile: Tile, device: torch.device) -> Start:
        yield 1.0
        return tile.cut(self.estimate).copy()


class DenoisingScene(Scene):
    """Frames whose noise goes.

    Args:
        settings: how.
        noise: of the clip.
        channels: of a frame.
        device: that makes the estimate.
    """

    def __init__(
        self, settings: Settings, noise: Noise, channels: int, device: torch.device
    ) -> None:
        self.settings = settings
        self.noise = noise
        self.device = device
        self.estimate = ClipEstimate(noise.std, channels)
        self.waiting: list[tuple[Masked, ClipDenoising]] = []

    def add(self, masked: Masked, shift: Shift) -> Preparing:
        work = ClipDenoising(masked.frame.pixels, self.settings, known=self.noise)
        if self.settings.fit_only and not work.recipe.residual:
            return [_prepared(masked, work)]
        self.waiting.append((masked, work))
        scale = 2 if work.shuffled else 1
        whole = round(shift[0] / scale), round(shift[1] / scale)
        noisy = to_tensor(work.pixels, self.device)[0]
        return self._ready((yield from self.estimate.add(noisy, whole)))

    def end(self) -> Preparing:
        return self._ready((yield from self.estimate.end()))

    def _ready(self, estimates: list[torch.Tensor]) -> list[Prepared]:
        ready = []
        for estimate in estimates:
            masked, work = self.waiting.pop(0)
            work.estimate = to_array(estimate[None])
            ready.append(_prepared(masked, work))
        return ready


class InpaintingScene(Scene):
    """Frames with holes, which are looked for in the frames around before anything is made up.

    Args:
        settings: how.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.known: list[tuple[Masked, Array, Shift]] = []  # frame, what is unknown, its place
        self.next = 0  # the frame among these to be filled next

    def add(self, masked: Masked, shift: Shift) -> Preparing:
        if self.known:
            place = self.known[-1][2]
            shift = place[0] + shift[0], place[1] + shift[1]
        self.known.append((masked, _unknown(masked), shift))
        if self.next + FAR >= len(self.known):
            return []
        yield 1.0
        return [self._fill_next()]

    def end(self) -> Preparing:
        ready = []
        while self.next < len(self.known):
            yield 1.0
            ready.append(self._fill_next())
        return ready

    def _fill_next(self) -> Prepared:
        masked, unknown, place = self.known[self.next]
        others = sorted(
            (abs(index - self.next), index)
            for index in range(len(self.known))
            if index != self.next
        )
        neighbours = [
            Neighbour(other.frame.pixels, holes, (there[0] - place[0], there[1] - place[1]))
            for other, holes, there in (self.known[index] for _, index in others)
        ]
        self.next += 1
        if self.next > FAR:
            self.known.pop(0)
            self.next -= 1
        return self._filled(masked, unknown, [] if self.settings.fit_only else neighbours)

    def _filled(self, masked: Masked, unknown: Array, neighbours: list[Neighbour]) -> Prepared:
        pixels, picture = masked.frame.pixels, masked.frame.picture
        if masked.is_done or masked.mask is None:
            return _prepared(masked, None)
        missing = masked.mask > 0
        pixels, left = fill_from(pixels, missing, neighbours)
        if not left.any():
            return Prepared(masked, pixels, None, None)
        hidden = masks.hidden_by(picture, masked.mask)
        try:
            work = Inpainting(pixels, left.astype(np.float32), self.settings, hidden)
        except MaskError as error:
            raise MaskError(f"{masked.frame.name}: {error.sentence}", error.hint) from error
        return Prepared(masked, pixels, left, work)


class EnlargingScene(Scene):
    """Frames that are enlarged.

    Args:
        settings: how.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def add(self, masked: Masked, shift: Shift) -> Preparing:
        yield 1.0
        return [_prepared(masked, Enlarging(masked.frame.pixels, self.settings))]


def _prepared(masked: Masked, work: Work | None) -> Prepared:
    return Prepared(masked, masked.frame.pixels, None, None if masked.is_done else work)


def _unknown(masked: Masked) -> Array:
    """Return where a frame shows nothing of use: its holes, and what is wholly transparent."""
    alpha = masked.frame.picture.alpha
    unknown = np.zeros(masked.frame.pixels.shape[:2], bool)
    if masked.mask is not None:
        unknown |= masked.mask > 0
    if alpha is not None:
        unknown |= alpha == 0
    return unknown
