"""Work recorded as a CUDA graph: the same fit, whatever launches it. Only a GPU can tell."""

from dataclasses import replace

import pytest
import torch
from skimage import data

from dip_engine import fit as module
from dip_engine.fit import fit
from dip_engine.job import Settings
from dip_engine.presets import recipe_for
from dip_engine.problem import Problem

pytestmark = pytest.mark.skipif(not torch.version.cuda, reason="torch without CUDA")


@pytest.fixture(autouse=True)
def _gpu() -> None:
    if not torch.cuda.is_available():
        pytest.skip("no GPU")


def fitted(task: str, shape: tuple[int, int], *, pretrained: bool) -> torch.Tensor:
    height, width = shape
    pixels = torch.from_numpy(data.astronaut()[:height, :width].copy()).permute(2, 0, 1)[None] / 255
    truth = pixels.cuda()
    noise = torch.randn(
        truth.shape, generator=torch.Generator("cuda").manual_seed(1), device="cuda"
    )
    problem = Problem(
        truth + 0.1 * noise, torch.ones_like(truth[:, :1]), height, width, start=truth
    )
    if pretrained:
        problem = replace(problem, noise_std=0.1)
    recipe = replace(recipe_for(task, Settings()), iterations=120, hold_out=0.0)
    steps = fit(problem, recipe, seed=3, dtype=torch.float32)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            picture: torch.Tensor = end.value.picture
            return picture


@pytest.mark.parametrize("shape", [(160, 200), (96, 136)])
@pytest.mark.parametrize(
    ("task", "pretrained"), [("denoise", True), ("denoise", False), ("inpaint", False)]
)
def test_a_replayed_fit_is_the_fit(
    monkeypatch: pytest.MonkeyPatch, task: str, shape: tuple[int, int], pretrained: bool
) -> None:
    replayed = fitted(task, shape, pretrained=pretrained)
    monkeypatch.setattr(module, "WORTH", 10**9)
    launched = fitted(task, shape, pretrained=pretrained)
    # Sums in another order make fits wander apart, a wrong replay far more so.
    assert (replayed - launched).square().mean().sqrt() < 0.02
