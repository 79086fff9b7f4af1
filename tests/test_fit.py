"""The loop: what it minimises, which snapshot it returns, how it ends, and the way back."""

import math
import threading
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from skimage import data

from dip_engine.average import Average
from dip_engine.best import Best, noise_learned
from dip_engine.fit import Fitted, fit, hold_out
from dip_engine.guard import ROLL_BACKS, Belief, GradientClip, RollBack
from dip_engine.job import Settings
from dip_engine.networks import BlindSpot, Up, initialise
from dip_engine.operators import Lanczos, identity
from dip_engine.optimiser import Rates, learning_rate, make_optimiser
from dip_engine.presets import Recipe, recipe_for
from dip_engine.probe import Probe
from dip_engine.problem import Problem
from dip_engine.views import WHOLE, BlindSpotView, Shot

TINY = {"width": 8, "scales": 2, "top": 8}
RECIPE = Recipe("up", 60, build=TINY, average=0.9)


def scene(size: int = 48) -> torch.Tensor:
    y, x = torch.meshgrid(torch.linspace(0, 1, size), torch.linspace(0, 1, size), indexing="ij")
    return torch.stack([x, y, (x - y).abs()])[None] * 0.8 + 0.1


def problem_of(observed: torch.Tensor) -> Problem:
    height, width = observed.shape[-2:]
    return Problem(observed, torch.ones(1, 1, height, width), height, width)


def run(problem: Problem, recipe: Recipe, **options) -> tuple[Fitted, list]:
    steps = fit(problem, recipe, **{"seed": 0, "dtype": torch.float32, **options})
    seen = []
    while True:
        try:
            seen.append(next(steps))
        except StopIteration as end:
            return end.value, seen


def noisy(picture: torch.Tensor, std: float) -> torch.Tensor:
    return picture + std * torch.randn(picture.shape, generator=torch.Generator().manual_seed(7))


def error(a: torch.Tensor, b: torch.Tensor) -> float:
    return float((a - b).square().mean())


def test_a_fit_learns_the_picture():
    fitted, steps = run(problem_of(scene()), replace(RECIPE, iterations=150))
    assert error(fitted.picture, scene()) < 0.1 * error(torch.full_like(scene(), 0.5), scene())
    assert [step.iteration for step in steps] == list(range(1, 151))
    assert fitted.reason == "all iterations done"


def test_the_papers_network_starts_at_gray_and_descends():
    recipe = recipe_for("denoise", Settings(preset="paper", iterations=10), noise_std=0.1)
    small = replace(recipe, build={"channels": (16,) * 3, "skips": (4,) * 3})
    observed = noisy(scene(), 0.1)
    fitted, steps = run(problem_of(observed), replace(small, iterations=30))
    losses = [step.loss for step in steps if step.loss is not None]
    gray = error(torch.full_like(observed, 0.5), observed)
    assert losses[0] < 1.5 * gray
    assert losses[-1] < 0.7 * gray
    assert fitted.held_out is None


def test_the_snapshot_with_the_lowest_held_out_error_is_returned():
    problem = problem_of(noisy(scene(), 0.3))
    held = hold_out(problem.known, 0.1, torch.Generator().manual_seed(0))[1]
    recipe = replace(RECIPE, iterations=400, patience=100, average=0.0, build={"width": 24})
    fitted, steps = run(problem, recipe, held=held)
    lowest = min(step.held_out for step in steps if step.held_out is not None)
    assert fitted.held_out == pytest.approx(lowest)
    assert fitted.iteration <= fitted.iterations
    measured = float(((fitted.picture - problem.observed).square() * held).sum() / held.sum() / 3)
    assert measured == pytest.approx(lowest, rel=1e-4)


def test_a_judge_chooses_the_snapshot_and_ends_the_fit():
    seen: list[torch.Tensor] = []

    def judge(picture: torch.Tensor) -> float:
        seen.append(picture)
        return abs(len(seen) - 3) + 1.0  # the third look is the best

    recipe = replace(RECIPE, iterations=1000, patience=100)
    fitted, steps = run(problem_of(scene()), recipe, judge=judge)
    assert fitted.iteration == 100  # a judge is asked at the tenth and every fiftieth
    assert torch.equal(fitted.picture, seen[2])
    assert fitted.held_out == steps[149].held_out - 1 == 1.0
    assert [steps[index].held_out for index in (8, 9, 49)] == [None, 3.0, 2.0]
    assert (fitted.iterations, fitted.reason) == (250, "held-out error stopped falling")


def test_noise_stops_the_fit_early():
    problem = problem_of(torch.rand(1, 3, 48, 48, generator=torch.Generator().manual_seed(1)))
    held = hold_out(problem.known, 0.1, torch.Generator().manual_seed(0))[1]
    fitted, _ = run(problem, replace(RECIPE, iterations=2000, patience=60), held=held)
    assert fitted.reason == "held-out error stopped falling"
    assert fitted.iterations < 2000


def test_held_out_values_do_not_reach_the_loss():
    observed = scene()
    held = hold_out(problem_of(observed).known, 0.2, torch.Generator().manual_seed(0))[1]
    spoiled = torch.where(held > 0, torch.tensor(99.0), observed)
    clean, _ = run(problem_of(observed), replace(RECIPE, iterations=9), held=held)
    other, _ = run(problem_of(spoiled), replace(RECIPE, iterations=9), held=held)
    assert torch.equal(clean.picture, other.picture)


def test_unknown_values_do_not_reach_the_loss():
    known = (torch.rand(1, 1, 48, 48, generator=torch.Generator().manual_seed(2)) < 0.5).float()
    problem = replace(problem_of(scene()), known=known)
    spoiled = replace(problem, observed=scene() * known + 99 * (1 - known))
    assert torch.equal(run(problem, RECIPE)[0].picture, run(spoiled, RECIPE)[0].picture)


def test_an_operator_is_fitted_through():
    operator = Lanczos(2)
    truth = scene(64)
    small = operator(truth)
    problem = replace(problem_of(small), height=64, width=64, operator=operator)
    fitted, _ = run(problem, replace(RECIPE, iterations=150))
    assert fitted.picture.shape == truth.shape
    assert error(operator(fitted.picture), small) < 0.004


def test_the_mean_of_several_networks_is_nearer_to_the_truth_than_one_of_them():
    problem, recipe = problem_of(noisy(scene(), 0.2)), replace(RECIPE, iterations=200)
    alone = [run(problem, recipe, seed=seed)[0] for seed in range(3)]
    together = run(problem, replace(recipe, members=3))[0]
    assert together.picture.shape == scene().shape
    assert together.parameters == 3 * alone[0].parameters
    errors = [error(fitted.picture, scene()) for fitted in alone]
    assert error(together.picture, scene()) < 0.9 * sum(errors) / 3


def test_several_networks_are_fitted_through_an_operator():
    truth, operator = scene(64), Lanczos(2)
    small = operator(truth)
    problem = replace(problem_of(small), height=64, width=64, operator=operator)
    fitted, _ = run(problem, replace(RECIPE, iterations=150, members=2, calm=True))
    assert fitted.picture.shape == truth.shape
    assert error(operator(fitted.picture), small) < 0.004


def test_a_residual_fit_begins_at_its_start():
    problem = replace(problem_of(scene()), start=scene() * 0.9)
    fitted, _ = run(problem, replace(RECIPE, iterations=1, residual=True))
    assert torch.allclose(fitted.picture, scene() * 0.9, atol=1e-4)


def test_the_blind_spot_fit_removes_noise_without_knowing_the_truth():
    problem = problem_of(noisy(scene(64), 0.15))
    recipe = Recipe("blind-spot", 150, learning_rate=0.003, average=0.985, crop=32)
    fitted, _ = run(replace(problem, start=problem.observed), recipe)
    assert error(fitted.picture, scene(64)) < 0.25 * 0.15**2
    assert fitted.held_out == pytest.approx(0.15**2, rel=0.25)


def test_a_seed_repeats_a_fit_to_the_bit_and_another_does_not():
    problem = problem_of(noisy(scene(), 0.1))
    recipe = replace(RECIPE, iterations=12, z_noise=0.03)
    first, again = run(problem, recipe)[0], run(problem, recipe)[0]
    assert torch.equal(first.picture, again.picture)
    assert not torch.equal(first.picture, run(problem, recipe, seed=1)[0].picture)


def test_stop_and_time_limit_end_a_fit_with_a_picture():
    stop = threading.Event()
    stop.set()
    fitted, _ = run(problem_of(scene()), RECIPE, stop=stop)
    assert (fitted.reason, fitted.iterations) == ("stopped by hand", 1)
    fitted, _ = run(problem_of(scene()), RECIPE, out_of_time=lambda: True)
    assert (fitted.reason, fitted.iterations) == ("time limit reached", 1)
    assert torch.isfinite(fitted.picture).all()


def test_a_fit_that_keeps_diverging_gives_up_with_its_last_good_picture():
    observed = torch.full((1, 3, 48, 48), math.nan)
    start = scene()
    fitted, _ = run(
        replace(problem_of(observed), start=start), replace(RECIPE, iterations=500, patience=0)
    )
    assert fitted.reason == "the fit diverged"
    assert torch.allclose(fitted.picture, start)


def test_roll_back_restores_weights_and_average_and_slows_down():
    network = Up(width=8)
    average = Average(problem_of(scene()), 0.9)
    optimiser = torch.optim.Adam(network.parameters())
    guard = RollBack(average, optimiser)
    before = [p.detach().clone() for p in network.parameters()]
    assert not guard.if_diverged(0.1)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(1)
    average.total.fill_(math.nan)
    assert guard.if_diverged(math.nan)
    for parameter, saved in zip(network.parameters(), before, strict=True):
        assert torch.equal(parameter, saved)
    assert torch.isfinite(average.picture()).all()
    assert guard.slower == 0.5
    for _ in range(ROLL_BACKS):
        guard.if_diverged(math.inf)
    assert guard.gave_up


def test_a_useless_answer_does_not_count_and_a_fair_one_does():
    problem = replace(problem_of(noisy(scene(), 0.1)), start=scene())
    average = Average(problem, 0.9)
    window = slice(0, 48), slice(0, 24)
    dropped = torch.ones(1, 3, 48, 24)

    def counts(error: float) -> torch.Tensor | None:
        shot = Shot(scene()[..., :24] + error, counts=dropped)
        return Belief(problem, average, calm=False)(shot, window, torch.tensor(1.0))

    assert torch.equal(counts(3.0), dropped)  # there is nothing yet to compare it with
    average.add(scene()[..., :24], window, dropped)
    assert torch.equal(counts(0.05), dropped)
    assert not counts(3.0).any()


def test_answers_for_the_whole_picture_count_again_when_their_loss_is_back():
    problem, shot = problem_of(scene()), Shot(scene())
    losses = [1.0] * 20 + [3.0] * 4 + [math.nan] + [1.2] * 5 + [1.9] * 40
    belief = Belief(problem, Average(problem, 0.9), calm=True)
    counted = [bool(belief(shot, WHOLE, torch.tensor(loss)).all()) for loss in losses]
    assert counted[:30] == [True] * 20 + [False] * 5 + [True] * 5
    assert not counted[30]
    assert counted[-1]  # a fit that is worse for good is what it is
    assert Belief(problem, Average(problem, 0.9), calm=False)(shot, WHOLE, torch.ones(())) is None


def look_once(picture: torch.Tensor) -> tuple[torch.Tensor, Shot]:
    """Return what a fresh blind-spot network is shown of a picture, and its answer."""

    class Listener(BlindSpot):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            seen.append(x)
            return super().forward(x)

    seen: list[torch.Tensor] = []
    network = Listener()
    initialise(network, torch.Generator().manual_seed(0))
    cpu, fresh = torch.Generator().manual_seed(0), torch.Generator().manual_seed(0)
    view = BlindSpotView(picture, 48, cpu=cpu, fresh=fresh, dtype=torch.float32)
    shot = view.shoot(network, replace(view.look(), given=picture))
    return seen[0], shot


def test_the_blind_spot_network_is_not_shown_the_mean():
    picture = noisy(scene(), 0.01) + torch.tensor([3.0, 0.0, -3.0]).reshape(1, 3, 1, 1)
    seen, shot = look_once(picture)
    assert seen.mean((2, 3)).abs().max() < 0.01
    assert (shot.picture - picture).abs().max() < 1  # the answer has it again


def test_nothing_that_the_blind_spot_network_sees_depends_on_dropped_values():
    picture = noisy(scene(), 0.1)
    seen, shot = look_once(picture)
    assert shot.counts is not None
    change = shot.counts * torch.randn(picture.shape, generator=torch.Generator().manual_seed(1))
    dropped = shot.counts.sum((2, 3), keepdim=True)
    change -= shot.counts * change.sum((2, 3), keepdim=True) / dropped  # the mean stays
    seen_again, shot_again = look_once(picture + change)
    assert torch.equal(shot.counts, shot_again.counts)
    assert torch.allclose(seen, seen_again, atol=1e-5)
    assert torch.allclose(shot.picture, shot_again.picture, atol=1e-5)
    kept = 1 - shot.counts
    assert not torch.allclose(seen, look_once(picture + kept * change.roll(1, 3))[0], atol=1e-2)


PRETRAINED = Recipe("blind-spot", 80, learning_rate=0.003, crop=48, pretraining=0.5)


def detailed() -> tuple[torch.Tensor, Problem]:
    """Return a photo, and a noisy one with a start that is too smooth."""
    pixels = data.coffee()[200:296, 300:396].astype(np.float32) / 255
    truth = torch.from_numpy(pixels).permute(2, 0, 1)[None].contiguous()
    smooth = F.avg_pool2d(F.pad(truth, [1] * 4, mode="replicate"), 3, 1)
    problem = problem_of(noisy(truth, 0.1))
    return truth, replace(problem, start=0.7 * truth + 0.3 * smooth, noise_std=0.1)


def test_what_a_fit_learned_from_the_start_it_need_not_learn_from_the_noisy_picture():
    truth, problem = detailed()
    with_it, steps = run(problem, PRETRAINED)
    without, _ = run(problem, replace(PRETRAINED, iterations=40, pretraining=0.0))
    assert error(with_it.picture, truth) < 0.85 * error(without.picture, truth)
    assert len(steps) == PRETRAINED.iterations


def test_while_a_fit_learns_from_the_start_that_is_what_it_shows():
    _, problem = detailed()
    steps = fit(problem, PRETRAINED, seed=0, dtype=torch.float32)
    for _ in range(40):
        step = next(steps)
        assert (step.loss, step.held_out) == (None, None)
        assert torch.allclose(step.picture(), problem.start, atol=1e-4)
    assert error(next(steps).picture(), problem.start) > 1e-6


def test_a_fit_that_is_stopped_in_pretraining_says_that_its_picture_is_the_start():
    _, problem = detailed()
    stop = threading.Event()
    stop.set()
    fitted, steps = run(problem, PRETRAINED, stop=stop)
    assert (fitted.answered, fitted.iteration, len(steps)) == (False, 0, 1)
    assert torch.allclose(fitted.picture, problem.start, atol=1e-6)
    assert run(problem, PRETRAINED)[0].answered


def test_a_fit_that_diverges_after_pretraining_goes_back_to_what_that_has_taught_it():
    _, problem = detailed()
    recipe = replace(PRETRAINED, iterations=150, pretraining=0.4)
    taught: list[torch.Tensor] = []
    back: list[torch.Tensor] = []

    class Watched(RollBack):
        def save(self) -> None:
            super().save()
            taught[:] = [weight.clone() for weight in self.weights]

        def if_diverged(self, loss: float) -> bool:
            went_back = super().if_diverged(loss if back else math.nan)
            if not back:
                back.extend(p.detach().clone() for p in self._parameters())
            return went_back

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("dip_engine.fit.RollBack", Watched)
        steps = fit(problem, recipe, seed=0, dtype=torch.float32)
        next(steps)
        untrained = [weight.clone() for weight in taught]
        while not back:
            step = next(steps)
    assert step.iteration < 70 + 10
    assert all(torch.equal(a, b) for a, b in zip(back, taught, strict=True))
    assert not any(torch.equal(a, b) for a, b in zip(back, untrained, strict=True))


def test_the_error_of_a_part_of_the_picture_does_not_choose_it():
    average = Average(problem_of(scene()), 0.0)
    best = Best(Recipe("blind-spot", 40, patience=10), average)
    for iteration, whole in ((1, False), (20, False), (30, True)):
        average.add(torch.full((1, 3, 48, 48), iteration / 100), (slice(0, 48), slice(0, 48)), None)
        best.look(iteration, iteration / 100, whole=whole)
        assert not best.finished(iteration)
    assert best.choose(30)[1:] == (30, 0.3)


def test_a_fit_that_goes_on_does_not_learn_from_the_start_again():
    _, problem = detailed()
    fitted, _ = run(problem, PRETRAINED)
    steps = fit(problem, PRETRAINED, seed=0, dtype=torch.float32, warm=fitted.state)
    assert error(next(steps).picture(), problem.start) > 1e-6
    unknown = replace(problem, noise_std=None)  # there is nothing to make it noisy with
    steps = fit(unknown, PRETRAINED, seed=0, dtype=torch.float32)
    assert error(next(steps).picture(), problem.start) > 1e-6


def test_an_error_that_falls_because_noise_is_learned_does_not_choose_the_picture():
    average = Average(problem_of(scene()), 0.0)
    best = Best(Recipe("blind-spot", 40, patience=100), average)
    window = slice(0, 48), slice(0, 48)
    for iteration, (error, learned) in enumerate([(0.02, 0.0), (0.01, 0.001), (0.008, 0.02)], 1):
        average.add(torch.full((1, 3, 48, 48), iteration / 10), window, None)
        best.look(iteration, error, learned)
    picture, iteration, error = best.choose(3)
    assert (iteration, error) == (2, 0.01)
    assert torch.allclose(picture, torch.tensor(0.2))


def test_the_echo_of_a_probe_tells_how_much_noise_a_picture_holds():
    truth = scene(96)
    probe = Probe.make(truth[0].permute(1, 2, 0).numpy(), 0.1, 0, 96 * 96)
    pattern = torch.from_numpy(probe.pattern).permute(2, 0, 1)[None]
    observed = noisy(truth, 0.1) + pattern
    problem = replace(problem_of(observed), echo=probe.noise_to_probe * pattern)
    generator = torch.Generator()
    view = BlindSpotView(observed, 96, cpu=generator, fresh=generator, dtype=torch.float32)
    window = slice(0, 96), slice(0, 96)
    for picture, learned in (
        (truth, 0.0),
        (observed, 2 * 0.1**2),
        ((truth + observed) / 2, 0.1**2),
    ):
        average = Average(problem, 0.0)
        average.add(picture, window, None)
        assert noise_learned(problem, average, view) == pytest.approx(learned, abs=0.004)
    assert noise_learned(problem_of(observed), average, view) == 0


@pytest.mark.parametrize("turn", range(8))
def test_an_answer_is_turned_back(turn):
    picture = noisy(scene(), 0.1)[..., :40]
    generator = torch.Generator()
    view = BlindSpotView(picture, 48, cpu=generator, fresh=generator, dtype=torch.float32)
    view._integer = lambda low, high: turn  # all is in the window, only the turn is drawn
    look = view.look()
    assert torch.equal(Shot(look.given, counts=look.given).turned_back(turn).picture, picture)
    assert (look.given.shape[2] == 40) == bool(turn & 4)


def test_a_return_and_a_cut_leave_the_tensors_where_they_are():
    layer = torch.nn.Linear(2, 2)
    optimiser = torch.optim.Adam(layer.parameters(), fused=True)
    clip = GradientClip(layer)
    roll_back = RollBack(Average(problem_of(scene()), 0.9), optimiser)

    def places() -> list[int]:
        states = [value for state in optimiser.state.values() for value in state.values()]
        return [t.data_ptr() for t in (*layer.parameters(), *states, clip.mean)]

    def step() -> None:
        layer(torch.ones(1, 2)).sum().backward()
        clip()
        optimiser.step()

    step()
    before = places()
    step()
    assert roll_back.if_diverged(math.nan)
    assert places() == before
    assert not any(value.any() for state in optimiser.state.values() for value in state.values())


def test_layers_of_the_blind_spot_network_take_steps_by_the_spread_of_their_weights():
    network = BlindSpot()
    initialise(network, torch.Generator().manual_seed(0))
    before = {name: p.detach().clone() for name, p in network.named_parameters()}
    optimiser = make_optimiser(network, identity, Recipe("blind-spot", 1), torch.device("cpu"))
    Rates(optimiser, torch.device("cpu")).set(0.003)
    for parameter in network.parameters():
        parameter.grad = torch.ones_like(parameter)
    optimiser.step()  # the first one of Adam is of the learning rate
    steps = {
        name: float((before[name] - p.detach()).abs().max())
        for name, p in network.named_parameters()
    }
    assert steps["first.weight"] == pytest.approx(0.003 * 10 / 27**0.5, rel=1e-3)
    assert steps["downs.2.1.weight"] == pytest.approx(0.003 * 10 / (9 * 96) ** 0.5, rel=1e-3)
    assert steps["downs.2.1.bias"] == pytest.approx(0.003, rel=1e-3)


def test_gradients_are_cut_to_twice_their_mean():
    layer = torch.nn.Linear(1, 1, bias=False)
    clip = GradientClip(layer)
    for value, expected in ((1.0, 1.0), (1.5, 1.5), (100.0, 2 * 1.025)):
        layer.weight.grad = torch.full((1, 1), value)
        clip()
        assert float(layer.weight.grad) == pytest.approx(expected, rel=1e-4)


def test_a_gradient_that_is_not_finite_does_not_spoil_the_next():
    layer = torch.nn.Linear(1, 1, bias=False)
    clip = GradientClip(layer)
    for value, expected in ((1.0, 1.0), (math.nan, math.nan), (1.0, 1.0)):
        layer.weight.grad = torch.full((1, 1), value)
        clip()
        assert float(layer.weight.grad) == pytest.approx(expected, nan_ok=True)


def test_the_learning_rate_warms_up_and_follows_a_cosine():
    recipe = Recipe("up", 1000, learning_rate=0.01, cosine=True, floor=0.1)
    rates = [learning_rate(recipe, i) for i in range(1, 1001)]
    assert rates[0] == pytest.approx(0.001, rel=0.2)
    assert max(rates) == pytest.approx(0.01, rel=1e-3)
    assert rates[-1] == pytest.approx(0.001)
    assert learning_rate(replace(recipe, cosine=False), 1) == 0.01


def test_the_average_weighs_answers_and_shows_the_start_where_there_is_none():
    problem = replace(problem_of(scene()), start=torch.full((1, 3, 48, 48), 0.25))
    average = Average(problem, 0.9)
    half = (slice(0, 48), slice(0, 24))
    for _ in range(20):
        average.add(torch.ones(1, 3, 48, 24), half, None)
    picture = average.picture()
    assert torch.allclose(picture[..., :24], torch.tensor(1.0), atol=1e-4)
    assert torch.allclose(picture[..., 24:], torch.tensor(0.25))
