"""Work recorded as a CUDA graph: the same steps, whatever launches them. Only a GPU can tell."""

from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch
from skimage import data

from dip_engine import fit as module
from dip_engine.enlarging import Enlarging
from dip_engine.fit import fit
from dip_engine.job import Settings
from dip_engine.operators import Lanczos
from dip_engine.optimiser import Rates
from dip_engine.presets import recipe_for
from dip_engine.problem import Problem
from dip_engine.replay import WARM_UP, Replayed
from dip_engine.views import Look, Shot

needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")


class Sum(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(3, device="cuda"))


def stepped(*, replayed: bool, steps: int = 12) -> list[torch.Tensor]:
    """Return loss and answer of steps that depend on a draw, on the rate and on what is given."""
    network, fresh = Sum(), torch.Generator("cuda").manual_seed(5)
    optimiser = torch.optim.Adam(network.parameters(), fused=True)
    rates = Rates(optimiser, torch.device("cuda"))

    def descend(look: Look) -> tuple[torch.Tensor, Shot]:
        drawn = torch.rand(3, generator=fresh, device="cuda")
        answer = network.weight * drawn + look.given
        loss = answer.square().sum()
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        return loss.detach(), Shot(answer.detach())

    work = Replayed(descend, optimiser, fresh) if replayed else descend
    seen = []
    for step in range(steps):
        rates.set(0.1 / (1 + step))
        given = torch.full((3,), float(step), device="cuda")
        loss, shot = work(Look(given=given, clean=step % 3 == 0))
        seen += [loss.clone(), shot.picture.clone(), network.weight.detach().clone()]
    assert not replayed or len(work.recordings) == 2
    return seen


@needs_gpu
def test_a_replayed_step_draws_anew_and_takes_the_rate_and_the_picture_of_the_moment() -> None:
    launched, replayed = stepped(replayed=False), stepped(replayed=True)
    assert WARM_UP < 4  # or nothing was recorded of every third step
    for one, other in zip(launched, replayed, strict=True):
        torch.testing.assert_close(one, other)


def problem(shape: tuple[int, int]) -> Problem:
    height, width = shape
    pixels = torch.from_numpy(data.astronaut()[:height, :width].copy()).permute(2, 0, 1)[None]
    truth = (pixels / 255).cuda()
    generator = torch.Generator("cuda").manual_seed(1)
    noise = torch.randn(truth.shape, generator=generator, device="cuda")
    return Problem(truth + 0.1 * noise, torch.ones_like(truth[:, :1]), height, width, start=truth)


def fitted(task: str, given: Problem, dtype: torch.dtype) -> Iterator[torch.Tensor]:
    recipe = replace(recipe_for(task, Settings(factor=2)), iterations=120, hold_out=0.0)
    steps = fit(given, recipe, seed=3, dtype=dtype)
    while True:
        try:
            yield next(steps).picture()
        except StopIteration as end:
            yield end.value.picture
            return


@needs_gpu
@pytest.mark.parametrize("shape", [(160, 200), (96, 136)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(
    ("task", "pretrained"), [("denoise", True), ("denoise", False), ("inpaint", False)]
)
def test_a_replayed_fit_is_the_fit(
    monkeypatch: pytest.MonkeyPatch,
    task: str,
    shape: tuple[int, int],
    dtype: torch.dtype,
    pretrained: bool,
) -> None:
    given = replace(problem(shape), noise_std=0.1 if pretrained else None)
    *_, replayed = fitted(task, given, dtype)
    monkeypatch.setattr(module, "WORTH", 10**9)
    *_, launched = fitted(task, given, dtype)
    # Sums in another order make fits wander apart; a wrong replay does so far more.
    assert (replayed - launched).square().mean().sqrt() < 0.02


@needs_gpu
def test_looking_at_a_fit_on_the_cpu_leaves_its_operator_alone() -> None:
    large = problem((128, 128))
    operator = Lanczos(2, device="cuda")
    small = replace(large, observed=operator(large.observed), operator=operator, start=None)
    small = replace(small, known=torch.ones_like(small.observed[:, :1]))
    work = Enlarging(small.observed[0].permute(1, 2, 0).cpu().numpy(), Settings(factor=2))
    *_, undisturbed = fitted("super-resolution", small, torch.float32)
    for picture in fitted("super-resolution", small, torch.float32):
        work._reduced(picture[0].permute(1, 2, 0).cpu().numpy())
        torch.rand(9, device="cuda").sum()  # takes any small piece of memory that was let go
    assert (picture - undisturbed).square().mean().sqrt() < 0.02
