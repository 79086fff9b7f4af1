"""Deblurring: what is known of a blurred tile, its deconvolution, and the fit that joins it.

The fit's error is weighted in frequency by |k| / (|k|² + ε): what the blur has weakened counts
about as much as what it has left, up to where the noise is stronger. Without that a network needs
many thousands of iterations to find the fine detail (Tirer and Giryes 2020, "BP-DIP: A
Backprojection based Deep Image Prior").
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import replace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from dip_engine import blur
from dip_engine.blind_kernel import find_kernel
from dip_engine.device import choose_format
from dip_engine.errors import InputError
from dip_engine.fit import Fitted
from dip_engine.glance import without_blur
from dip_engine.job import Job, Settings
from dip_engine.noise import estimate_noise
from dip_engine.operators import Blur, spread
from dip_engine.plug_and_play import falling, linear_agreement, plug_and_play
from dip_engine.presets import recipe_for
from dip_engine.probe import not_clipped
from dip_engine.problem import Problem
from dip_engine.tiling import Tile
from dip_engine.work import Start, Work, to_array, to_tensor

Array = np.ndarray[Any, np.dtype[Any]]

FIRST_LEVEL = 30 / 255  # of the noise that the first turn of the start removes
LEAST_NOISE = 0.5 / 255  # the rounding to 8 bits alone is 0.3 levels
NOISE_TO_PICTURE = 16.0  # ε in variances of the noise: a picture's own are about 1/16
USUAL_SIZE = {"gaussian": 2.0, "motion": 15.0, "defocus": 4.0, "unknown": 21.0}


def known_kernel(job: Job) -> Array | None:
    """Return the kernel a job tells, k×k; None where it is to be found.

    Raises:
        InputError: the kernel's file cannot be read or is no kernel.
    """
    if job.kernel is not None:
        return blur.read_kernel(job.kernel)
    size = job.settings.blur_size or USUAL_SIZE[job.settings.blur]
    shapes: dict[str, Callable[[], Array]] = {
        "gaussian": lambda: blur.gaussian(size),
        "motion": lambda: blur.motion(size, job.settings.blur_angle),
        "defocus": lambda: blur.defocus(size),
    }
    shape = shapes.get(job.settings.blur)
    return None if shape is None else shape()


class Deblurring(Work):
    """A blur goes; its shape is given, or found.

    Args:
        pixels: float32 H×W×C, 0–1.
        kernel: k×k, or None to find it.
        settings: how.

    Raises:
        InputError: the picture is smaller than the blur.
    """

    start_share = 0.3

    def __init__(self, pixels: Array, kernel: Array | None, settings: Settings) -> None:
        super().__init__(pixels, recipe_for("deblur", settings), settings)
        noise = estimate_noise(to_tensor(pixels)[0])
        std = noise.std if settings.noise_std is None else settings.noise_std
        self.noise = replace(noise, std=max(std, LEAST_NOISE))
        self.told = self.kernel = kernel
        self.settings = settings
        side = round(settings.blur_size or USUAL_SIZE["unknown"]) | 1
        self.side_of_kernel = side if kernel is None else kernel.shape[0]
        if self.recipe.probe and not settings.fit_only:
            if self.noise.independent:
                self.add_probe(self.noise.std, settings.seed)
            else:  # nothing tells what a fit is worth: the start stands
                self.recipe = replace(self.recipe, iterations=1, share=0.0)
        self._large: dict[Tile, Tensor] = {}
        self._blurred: dict[Tile, Array] = {}
        if min(pixels.shape[:2]) < self.side_of_kernel:
            raise InputError(
                f"{pixels.shape[1]}×{pixels.shape[0]} pixels are less than the blur, which takes "
                f"{self.side_of_kernel}×{self.side_of_kernel}.",
                "Give a smaller --blur-size or kernel.",
            )

    def glance(self) -> Array | None:
        if self.told is None:
            return None
        assert self.noise is not None
        kernel = torch.from_numpy(self.told)
        return to_array(without_blur(to_tensor(self.measured), kernel, self.noise.std))

    def prepare(self, device: torch.device) -> Generator[float, None, None]:
        if self.kernel is None:
            self.kernel = yield from self._find_kernel(device)

    def start(self, tile: Tile, device: torch.device) -> Start:
        blurred = to_tensor(tile.cut(self.pixels), device)
        assert self.noise is not None
        operator = self._operator(tile, device)
        large = F.pad(blurred, [operator.radius] * 4, mode="replicate")
        agree = linear_agreement(operator, blurred, self.noise.std, large)
        levels = falling(FIRST_LEVEL, self.noise.std, self.recipe.turns)
        estimate = yield from plug_and_play(large, levels, agree)
        self._large[tile] = estimate
        self._blurred = {tile: to_array(operator(estimate))}
        return self._cropped(estimate)

    def problem(self, tile: Tile, start: Array, device: torch.device) -> Problem:
        operator = self._operator(tile, device)
        height, width = operator.size
        large = self._large.pop(tile, None)
        if large is None:
            radius = [(operator.radius, operator.radius)] * 2
            large = to_tensor(np.pad(start, [*radius, (0, 0)], mode="edge"), device)
        return replace(
            super().problem(tile, start, device),
            height=height,
            width=width,
            operator=operator,
            emphasis=self._emphasis(tile, device),
            start=large,
        )

    def join(self, tile: Tile, start: Array, fitted: Fitted) -> Array:
        """Average both, weighed where the blur has left something of the picture."""
        weight = self.recipe.share
        if self.probe is not None:
            emphasis = self._emphasis(tile, torch.device("cpu"))

            def emphasised(pixels: Array) -> Array:
                return to_array(emphasis(to_tensor(pixels)))

            blurred = to_array(self._operator(tile, fitted.picture.device)(fitted.picture))
            weight = self.probe.cut(tile).weigh(
                emphasised(tile.cut(self.pixels)),
                emphasised(self._blurred[tile]),
                emphasised(blurred),
                usual=weight,
                trusted=not_clipped(
                    tile.cut(self.measured), self._blurred[tile], self.probe.noise_std
                ),
                through=emphasised,
            )
        return start + weight * (self.fit_alone(tile, fitted) - start)

    def fit_alone(self, tile: Tile, fitted: Fitted) -> Array:
        return self._cropped(fitted.picture)

    def _find_kernel(self, device: torch.device) -> Generator[float, None, Array]:
        """Find the kernel in the middle of the picture, of which a part is enough."""
        height, width = self.pixels.shape[:2]
        top, left = max(0, (height - self.side) // 2), max(0, (width - self.side) // 2)
        middle = Tile(top, left, min(height, top + self.side), min(width, left + self.side))
        blurred = to_tensor(middle.cut(self.pixels), device)
        assert self.noise is not None
        recipe = recipe_for("kernel", self.settings)
        return (
            yield from find_kernel(
                blurred,
                self.side_of_kernel,
                recipe,
                seed=self.settings.seed,
                dtype=choose_format(device, self.settings),
            )
        )

    def _operator(self, tile: Tile, device: torch.device) -> Blur:
        assert self.kernel is not None, "prepared first"
        kernel = torch.from_numpy(self.kernel).to(device)
        border = 2 * (kernel.shape[0] // 2)
        return Blur(kernel, tile.height + border, tile.width + border)

    def _emphasis(self, tile: Tile, device: torch.device) -> Callable[[Tensor], Tensor]:
        """Return the filter that the fit's error goes through."""
        assert self.kernel is not None
        assert self.noise is not None
        size = tile.height, tile.width
        left = torch.fft.rfft2(spread(torch.from_numpy(self.kernel).to(device), size)).abs()
        gain = left / (left.square() + NOISE_TO_PICTURE * self.noise.std**2)
        gain = gain / gain.square().mean().sqrt()

        def emphasis(difference: Tensor) -> Tensor:
            filtered: Tensor = torch.fft.irfft2(torch.fft.rfft2(difference) * gain, s=size)
            return filtered

        return emphasis

    def _cropped(self, large: Tensor) -> Array:
        """Cut off what lies beyond the picture's border."""
        assert self.kernel is not None
        r = self.kernel.shape[0] // 2
        return to_array(large[..., r : large.shape[-2] - r, r : large.shape[-1] - r])
