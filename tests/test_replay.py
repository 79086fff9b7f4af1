"""Work recorded as a CUDA graph: the same steps, whatever launches them. Only a GPU can tell."""

import multiprocessing
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
import torch
from skimage import data

from dip_engine import classical
from dip_engine import fit as module
from dip_engine.enlarging import Enlarging
from dip_engine.fit import fit
from dip_engine.job import Settings
from dip_engine.operators import Lanczos
from dip_engine.optimiser import Rates
from dip_engine.presets import recipe_for
from dip_engine.problem import Problem
from dip_engine.replay import WARM_UP, Replayed, can_replay
from dip_engine.views import Look, Shot

needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")


class Sum(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(3, device="cuda"))


@pytest.fixture
def recorded(monkeypatch: pytest.MonkeyPatch) -> list[Replayed]:
    """Let fits be recorded after few iterations; returns what was made to be recorded."""
    made: list[Replayed] = []

    def make(*parts: Any) -> Replayed:
        made.append(Replayed(*parts))
        return made[-1]

    monkeypatch.setattr(module, "WORTH", 1)
    monkeypatch.setattr(module, "Replayed", make)
    monkeypatch.setattr(Replayed, "works", True)
    return made


def stepped(kind: str, *, replayed: bool, steps: int = 12, bad: int = 0) -> list[torch.Tensor]:
    """Return loss, answer and weight of steps that depend on a draw, the rate and what is given.

    Args:
        kind: of the optimiser.
        bad: step from which on the work asks something of the device, which cannot be recorded.
    """
    network, fresh = Sum(), torch.Generator("cuda").manual_seed(5)
    optimiser: torch.optim.Optimizer = (
        torch.optim.Adam(network.parameters(), fused=True)
        if kind == "adam"
        else torch.optim.SGD(network.parameters(), momentum=0.9, fused=True)
    )
    rates = Rates(optimiser, torch.device("cuda"))
    step = 0

    def descend(look: Look) -> tuple[torch.Tensor, Shot]:
        drawn = torch.rand(3, generator=fresh, device="cuda")
        answer = network.weight * drawn + look.given
        loss = answer.square().sum()
        if bad and step >= bad:
            loss.item()
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        return loss.detach(), Shot(answer.detach())

    work = Replayed(descend, optimiser, fresh) if replayed else descend
    seen = []
    for step in range(steps):
        rates.set((0.1 if kind == "adam" else 1e-4) / (1 + step))
        given = torch.full((3,), float(step), device="cuda")
        loss, shot = work(Look(given=given, clean=step % 3 == 0))
        between = torch.rand(3, generator=fresh, device="cuda")
        seen += [loss.clone(), shot.picture.clone(), network.weight.detach().clone(), between]
    if isinstance(work, Replayed):
        assert len(work.recordings) == (0 if bad else 2)
    return seen


@needs_gpu
@pytest.mark.usefixtures("recorded")
@pytest.mark.parametrize("kind", ["adam", "sgd"])
def test_a_replayed_step_draws_anew_and_takes_the_rate_and_the_picture_of_the_moment(
    kind: str,
) -> None:
    launched, replayed = stepped(kind, replayed=False), stepped(kind, replayed=True)
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
    iterations = 40 if task == "denoise" else 120
    recipe = replace(recipe_for(task, Settings(factor=2)), iterations=iterations, hold_out=0.0)
    steps = fit(given, recipe, seed=3, dtype=dtype)
    while True:
        try:
            yield next(steps).picture()
        except StopIteration as end:
            yield end.value.picture
            return


# Sums in another order make fits wander apart, one that sees a picture less than one that sees
# noise. Weights, pictures or draws that stood still would take them two to ten times as far.
WANDER = {"denoise": 0.006, "inpaint": 0.04, "super-resolution": 0.04}


@needs_gpu
@pytest.mark.parametrize("shape", [(160, 200), (96, 136)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(
    ("task", "pretrained"), [("denoise", True), ("denoise", False), ("inpaint", False)]
)
def test_a_replayed_fit_is_the_fit(
    monkeypatch: pytest.MonkeyPatch,
    recorded: list[Replayed],
    task: str,
    shape: tuple[int, int],
    dtype: torch.dtype,
    pretrained: bool,
) -> None:
    given = replace(problem(shape), noise_std=0.1 if pretrained else None)
    *_, replayed = fitted(task, given, dtype)
    (work,) = recorded
    assert {clean for clean, _ in work.recordings} == ({True, False} if pretrained else {False})
    if min(shape) >= 128:  # else a window changes its shape when it is turned
        assert len(work.recordings) == (2 if pretrained else 1)
    monkeypatch.setattr(module, "WORTH", 10**9)
    *_, launched = fitted(task, given, dtype)
    assert len(recorded) == 1
    assert (replayed - launched).square().mean().sqrt() < WANDER[task]


@needs_gpu
def test_looking_at_a_fit_on_the_cpu_leaves_its_operator_alone(recorded: list[Replayed]) -> None:
    large = problem((128, 128)).observed
    small = Lanczos(2, device="cuda")(large)[0].permute(1, 2, 0).cpu().numpy()
    work = Enlarging(small, Settings(factor=2))
    start = classical.enlarge(small, 2)
    given = work.problem(work.whole, start, torch.device("cuda"))
    *_, undisturbed = fitted("super-resolution", given, torch.float32)
    for picture in fitted("super-resolution", given, torch.float32):
        work._reduced(picture[0].permute(1, 2, 0).cpu().numpy())
        torch.rand(9, device="cuda").sum()  # takes any small piece of memory that was let go
    assert [len(each.recordings) for each in recorded] == [1, 1]
    assert (picture - undisturbed).square().mean().sqrt() < WANDER["super-resolution"]


def tried(bad: int) -> tuple[list[torch.Tensor], bool]:
    """Return what `stepped` does, on the CPU, and whether anything can be recorded after it."""
    seen = stepped("adam", replayed=True, bad=bad)
    return [tensor.cpu() for tensor in seen], can_replay(torch.device("cuda"))


@needs_gpu
@pytest.mark.parametrize("bad", [1, 9])  # before anything is recorded, and after the other kind was
def test_what_cannot_be_recorded_is_launched(bad: int) -> None:
    # With some versions of torch no recording works in a process after one that failed.
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawn) as pool:
        seen, goes_on = pool.submit(tried, bad).result()
    launched = stepped("adam", replayed=False)
    for one, other in zip(launched, seen, strict=True):
        torch.testing.assert_close(one.cpu(), other)
    assert not goes_on
