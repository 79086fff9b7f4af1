"""The baseline: Deep Image Prior as published, in plain PyTorch.

float32, NCHW, eager, Adam; network, input, noise and learning rate of the published code for each
task (it has none for deblurring, where its usual ones are taken). Nothing is joined with it and
nothing stops it: what is shown is the exponential average of its outputs, 0.99, and its best moment
is chosen with the truth at hand. (The published code shows the raw output for all tasks but
denoising; the average is never worse at its best.) That is what is timed; a recording of its curve
may lay out and launch the same work otherwise and, on a GPU, convolve in TF32 as PyTorch does
unasked.

Source: Ulyanov, Vedaldi, Lempitsky, "Deep Image Prior", CVPR 2018, and its code.
"""

from __future__ import annotations

import math
import os
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from cases import SIGMA, Case, cases
from inputs import Given
from memory import peak_mb
from scoring import Array, eight_bit, read
from torch import Tensor

from dip_engine import networks
from dip_engine.classical import hole_radius
from dip_engine.deblurring import known_kernel
from dip_engine.fit import build
from dip_engine.job import Job
from dip_engine.operators import Blur, Lanczos
from dip_engine.presets import Recipe, recipe_for
from dip_engine.problem import Problem
from dip_engine.processes import free_cores
from dip_engine.replay import Descend, Replayed
from dip_engine.views import Look, Shot
from dip_engine.work import to_array, to_tensor

AVERAGE = 0.99
LOOK, FALL = 100, 5.0  # the published denoising goes back where it fell by 5 dB in 100 iterations

State = dict[str, Any]


class Baseline:
    """A fit that goes on for as long as `step` is called.

    Args:
        case, given: what is fitted.
        device: where.
        channels_last: another layout of the same numbers, faster on some CPUs.
        replayed: on a GPU, the same work launched faster (see `dip_engine.replay`).
        seed: of z, of the weights, and of the noise on z.
    """

    def __init__(
        self,
        case: Case,
        given: Given,
        *,
        device: str = "cpu",
        channels_last: bool = False,
        replayed: bool = False,
        seed: int = 0,
    ) -> None:
        self.case, self.given = case, given
        self.problem, self.recipe = _problem(case, given, torch.device(device))
        problem, cpu = self.problem, torch.Generator().manual_seed(seed)
        self.fresh = torch.Generator(device).manual_seed(seed)
        self.network = build(self.recipe, problem.channels, cpu).to(device)
        size = self.network.padded_size(problem.height, problem.width)
        self.z = networks.draw_latent(self.network, *size, cpu, grid=self.recipe.grid).to(device)
        if channels_last:
            self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
            self.z = self.z.contiguous(memory_format=torch.channels_last)
        fused = replayed or None
        self.optimiser = torch.optim.Adam(
            self.network.parameters(), self.recipe.learning_rate, fused=fused
        )
        self.descend: Descend = self._descend
        if replayed:
            self.descend = Replayed(self._descend, self.optimiser, self.fresh)
        self.given_pixels = read(given.input)
        self.hole = None if given.mask is None else read(given.mask)[:, :, None] > 0
        self.iteration = 0
        self.output = self.average = torch.empty(0)
        self.fit_to_noisy: list[float] = []
        self.saved: State = {}

    def step(self) -> None:
        """Do one iteration."""
        self.iteration += 1
        loss, shot = self.descend(Look())
        self.output = shot.picture
        self.average = self.output.clone() if self.iteration == 1 else self._averaged()
        if self.case.task == "denoise" and self.iteration % LOOK == 0:
            self._look(-10 * math.log10(loss.item()))

    def _descend(self, _look: Look) -> tuple[Tensor, Shot]:
        z, problem = self.z, self.problem
        if self.recipe.z_noise:
            z = z + self.recipe.z_noise * torch.empty_like(z).normal_(generator=self.fresh)
        self.optimiser.zero_grad()
        output = self.network(z)[:, :, : problem.height, : problem.width]
        missed = problem.known * (problem.operator(output) - problem.observed)
        loss = missed.square().mean()
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimiser.step()
        return loss.detach(), Shot(output.detach())

    def psnr(self) -> tuple[float, float]:
        """Return the PSNR of the raw output and of the average, known pixels pasted back."""
        score, truth = self.case.scoring.psnr, self.given.truth
        return score(self._shown(self.output), truth), score(self._shown(self.average), truth)

    def state(self) -> State:
        """Return all that `go_on` needs."""
        return {
            "network": self.network.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "fresh": self.fresh.get_state(),
            "iteration": self.iteration,
            "average": self.average,
            "fit_to_noisy": self.fit_to_noisy,
            "saved": self.saved,
        }

    def go_on(self, state: State) -> None:
        """Continue where `state` was taken."""
        self.network.load_state_dict(state["network"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.fresh.set_state(state["fresh"].cpu())
        self.iteration, self.average = state["iteration"], state["average"]
        self.fit_to_noisy, self.saved = state["fit_to_noisy"], state["saved"]

    def _averaged(self) -> Tensor:
        return AVERAGE * self.average + (1 - AVERAGE) * self.output

    def _look(self, decibels: float) -> None:
        """Go back to the last weights where the fit fell, as the published code does."""
        if self.fit_to_noisy and decibels - self.fit_to_noisy[-1] < -FALL:
            self.network.load_state_dict(self.saved)
            return
        self.fit_to_noisy.append(decibels)
        self.saved = {name: value.clone() for name, value in self.network.state_dict().items()}

    def _shown(self, output: Tensor) -> Array:
        pixels = to_array(output)
        border = (pixels.shape[0] - self.given.truth.shape[0]) // 2
        if border:
            pixels = pixels[border:-border, border:-border]
        shown = eight_bit(pixels)
        if self.hole is None:
            return shown
        return np.where(self.hole, shown, self.given_pixels)


@dataclass(frozen=True, slots=True)
class Timing:
    """What some iterations took.

    Attributes:
        seconds: of each.
        peak_mb: of the process, or None where the system does not tell.
    """

    seconds: tuple[float, ...]
    peak_mb: float | None


def time_baseline(
    data: Path | None,
    side: int | None,
    name: str,
    steps: int,
    *,
    device: str,
    threads: int | None,
) -> Timing:
    """Time some iterations after a first one; meant for a process of its own.

    It runs as a user of the published code would run it, without the settings of memory and
    threads that engine processes get.
    """
    torch.set_num_threads(threads or free_cores())
    torch.set_flush_denormal(True)
    torch.backends.cudnn.benchmark = True  # as in the published code
    case = next(case for case in cases(data, side) if case.name == name)
    with tempfile.TemporaryDirectory() as folder:
        fit = Baseline(case, case.given(Path(folder)), device=device)
    seconds = []
    for _ in range(steps + 1):
        begin = time.perf_counter()
        fit.step()
        if device != "cpu":
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - begin)
    return Timing(tuple(seconds[1:]), peak_mb(os.getpid()))


def _problem(case: Case, given: Given, device: torch.device) -> tuple[Problem, Recipe]:
    """Return what is known of a case and the published recipe for it."""
    observed = to_tensor(read(given.input).astype(np.float32) / 255, device)
    known = torch.ones_like(observed[:, :1])
    height, width = given.truth.shape[:2]
    settings = case.settings_for("paper")
    hole = 0.0
    if given.mask is not None:
        missing = read(given.mask) > 0
        hole = hole_radius(missing)
        known = to_tensor((~missing).astype(np.float32), device)
    recipe = recipe_for(case.task, settings, noise_std=SIGMA / 255, hole=hole)
    if case.task == "super-resolution":
        operator = Lanczos(settings.factor, device=device)
        return Problem(observed, known, height, width, operator), recipe
    if case.task == "deblur":
        kernel = known_kernel(Job("deblur", given.input, Path("none"), settings=settings))
        assert kernel is not None
        border = 2 * (kernel.shape[0] // 2)
        blur = Blur(torch.from_numpy(kernel).to(device), height + border, width + border)
        return Problem(observed, known, *blur.size, operator=blur), recipe
    return Problem(observed, known, height, width), recipe
