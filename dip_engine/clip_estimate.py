"""The non-local estimate of a clip: groups of similar patches from several frames.

A picture has few patches like a given one; a clip has the same patch again in every frame, with
noise of its own. Each frame in turn gives the reference patches, whose groups are searched in the
frames up to `REACH` before and after it, and every patch of a group is estimated, whichever frame
it lies in. So each frame is the mean of what up to 2·`REACH` + 1 frames' references say about it.

The recipe is that of `nonlocal_estimate`, shortened to what still pays where groups are this good:

1. `sure_ridge` on all channels: the first pilot;
2. `wiener_ridge` on luminance and `wiener_cosine` on colour: the second pilot;
3. `patch_bayes` on luminance, averaged with the second pilot; `wiener_cosine` on colour.

Each step needs what the step before made of the neighbouring frames, so the frames flow through
the steps one behind the other, and a frame comes out `LAG` frames after it went in.

Groups across frames are the idea of V-BM3D (Dabov, Foi and Egiazarian, 2007); Bayes filters in
them that of Video NL-Bayes (Arias and Morel, 2018).
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass, field, replace

import torch

from dip_engine.group_filters import (
    GroupFilter,
    filter_groups,
    patch_basis,
    patch_bayes,
    sure_ridge,
    wiener_cosine,
    wiener_ridge,
)
from dip_engine.noise import undo_clipping
from dip_engine.nonlocal_estimate import SMALLEST_NOISE, colour_basis, enlarged, sizes_for
from dip_engine.patch_groups import STILL, Block, Canvas, Shift, blocks

REACH = 3  # frames before and after one that its groups come from
LAG = 3 * 2 * REACH  # frames between a frame's way in and its way out

Filtering = Generator[float, None, list[torch.Tensor]]

_LUMINANCE, _COLOUR, _ALL = slice(0, 1), slice(1, None), slice(None)


class ClipEstimate:
    """Removes white noise of a known level from the frames of one scene.

    Frames go in one by one and come out in the same order, `LAG` of them later.

    Args:
        noise_std: standard deviation of the noise on the 0–1 scale.
        channels: of a frame, 1 or 3.
    """

    def __init__(self, noise_std: float, channels: int) -> None:
        self.noise_std = noise_std
        sizes = sizes_for(noise_std)
        steps: tuple[list[_Filter], ...] = (
            [_Filter(sure_ridge, _ALL, sizes.first)],
            [
                _Filter(wiener_ridge, _LUMINANCE, sizes.ridge),
                _Filter(wiener_cosine, _COLOUR, sizes.cosine, cosine=True),
            ],
            [
                _Filter(patch_bayes, _LUMINANCE, sizes.bayes, share=0.5),
                _Filter(wiener_cosine, _COLOUR, sizes.cosine, cosine=True),
            ],
        )
        if channels == 1:
            steps = tuple([f for f in step if f.channels is not _COLOUR] for step in steps)
        share = 1 / sum(map(len, steps))
        self._steps = [_Step(step, noise_std, share) for step in steps]
        self._waiting: list[torch.Tensor] = []  # frames that have gone in and not come out
        self._place = STILL

    def add(self, noisy: torch.Tensor, shift: Shift = STILL) -> Filtering:
        """Take the next frame of the scene.

        Args:
            noisy: C×H×W float32, 0–1, on any device.
            shift: pixels by which its content has moved since the frame before, down and right;
                the search windows move with it.

        Yields:
            The share of one frame's work that was done, several times a second; stop iterating to
            cancel.

        Returns:
            The estimates that are ready, not clipped: one or none.
        """
        if not self.noise_std > SMALLEST_NOISE:
            return [noisy.clone()]
        self._place = self._place[0] + shift[0], self._place[1] + shift[1]
        self._waiting.append(noisy)
        planes = torch.tensordot(colour_basis(noisy), enlarged(noisy), 1)
        return (yield from self._through(0, [_Frame(planes, self._place)]))

    def end(self) -> Filtering:
        """Return the estimates of all frames that are left, after the scene's last one."""
        done = []
        for number, step in enumerate(self._steps, 1):
            frames = yield from step.end()
            done += yield from self._through(number, frames)
        return done

    def _through(self, number: int, frames: list[_Frame]) -> Filtering:
        """Send frames through the steps from that number on."""
        for step in self._steps[number:]:
            ready: list[_Frame] = []
            for frame in frames:
                ready += yield from step.add(frame)
            frames = ready
        return [self._picture(frame) for frame in frames]

    def _picture(self, frame: _Frame) -> torch.Tensor:
        noisy = self._waiting.pop(0)
        height, width = noisy.shape[1:]
        assert frame.pilot is not None, "a step leaves an estimate"
        picture = torch.tensordot(colour_basis(noisy).t(), frame.pilot, 1)[:, :height, :width]
        return undo_clipping(picture, noisy, self.noise_std)


@dataclass(frozen=True, slots=True)
class _Frame:
    """A frame on its way through the steps.

    Attributes:
        noisy: C×H×W, luminance first.
        place: rows and columns its content has moved since the scene began.
        pilot: C×H×W, what the step before made of it, or None.
        canvases: what this step makes of it, one for each of its filters.
    """

    noisy: torch.Tensor
    place: Shift
    pilot: torch.Tensor | None = None
    canvases: tuple[Canvas, ...] = ()

    @property
    def guide(self) -> torch.Tensor:
        """The plane on which similar patches are searched."""
        return (self.noisy if self.pilot is None else self.pilot)[0]

    @property
    def pictures(self) -> list[torch.Tensor]:
        """What a group filter is given."""
        return [self.noisy] if self.pilot is None else [self.noisy, self.pilot]

    def shift_from(self, other: _Frame) -> Shift:
        """Return how far its content has moved against another frame's."""
        return self.place[0] - other.place[0], self.place[1] - other.place[1]


_Stepping = Generator[float, None, list[_Frame]]


@dataclass(frozen=True, slots=True)
class _Filter:
    """A group filter and what it is used on.

    Attributes:
        run: the filter.
        channels: the planes it works on.
        size: side of a patch, patches per group.
        cosine: it takes the patches' cosine transforms.
        share: weight of its estimate in an average with the pilot.
    """

    run: GroupFilter
    channels: slice
    size: tuple[int, int]
    cosine: bool = False
    share: float = 1.0


@dataclass
class _Step:
    """One step of the recipe; a frame is finished when no later frame can say more about it.

    Attributes:
        filters: of the step, one after the other.
        noise_std: see `ClipEstimate`.
        share: of a frame's work that one filter is.
        frames: those in work.
        next: index of the one that gives the next references.
    """

    filters: Sequence[_Filter]
    noise_std: float
    share: float
    frames: list[_Frame] = field(default_factory=list)
    next: int = 0

    def add(self, frame: _Frame) -> _Stepping:
        """Take a frame and return those that are finished by it: one or none."""
        height, width = frame.noisy.shape[1:]
        planes = [frame.noisy[f.channels] for f in self.filters]
        canvases = tuple(Canvas(len(p), height, width, p.device) for p in planes)
        self.frames.append(replace(frame, canvases=canvases))
        if self.next + REACH >= len(self.frames):
            return []
        return (yield from self._filter_next())

    def end(self) -> _Stepping:
        """Return all frames that are left."""
        finished = []
        while self.next < len(self.frames):
            finished += yield from self._filter_next()
        return finished + [self._estimate(frame) for frame in self.frames]

    def _filter_next(self) -> _Stepping:
        centre = self.frames[self.next]
        around = self.frames[max(0, self.next - REACH) : self.next + REACH + 1]
        frames = [centre, *(frame for frame in around if frame is not centre)]
        for number, chosen in enumerate(self.filters):
            # Small ones on a GPU too: the tables of several frames are in memory together.
            plan = list(blocks(chosen.size[0], *centre.noisy.shape[1:], on_gpu=False))
            for block in plan:
                self._filter_block(block, frames, chosen, number)
                yield self.share / len(plan)
        if self.next < REACH:
            self.next += 1
            return []
        return [self._estimate(self.frames.pop(0))]

    def _filter_block(
        self, block: Block, frames: Sequence[_Frame], chosen: _Filter, number: int
    ) -> None:
        """Filter the groups of a block's references, which lie in the first of the frames."""
        shifts = [frame.shift_from(frames[0]) for frame in frames]
        others = [(f.guide, shift) for f, shift in zip(frames, shifts, strict=True)][1:]
        members = block.match(frames[0].guide, chosen.size[1], others)
        tables = [
            torch.cat(
                [block.table(p[chosen.channels], s) for p, s in zip(kind, shifts, strict=True)]
            )
            for kind in zip(*(frame.pictures for frame in frames), strict=True)
        ]
        basis = patch_basis(block.patch, members.float())
        if chosen.cosine:
            tables = [table @ basis.t() for table in tables]
        values, weights = filter_groups(tables, members, chosen.run, self.noise_std)
        values = values @ basis if chosen.cosine else values
        first = 0
        for frame, shift in zip(frames, shifts, strict=True):
            region = block.region(shift)
            mine = slice(first, first + region.height * region.width)
            frame.canvases[number].add(block, values[mine], weights[mine], shift)
            first = mine.stop

    def _estimate(self, frame: _Frame) -> _Frame:
        planes = []
        for chosen, canvas in zip(self.filters, frame.canvases, strict=True):
            estimate = canvas.mean()
            if frame.pilot is not None and chosen.share < 1:
                estimate = torch.lerp(frame.pilot[chosen.channels], estimate, chosen.share)
            planes.append(estimate)
        return replace(frame, pilot=torch.cat(planes), canvases=())
