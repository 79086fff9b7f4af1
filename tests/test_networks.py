"""The generators: published sizes, shapes, seeds and number formats."""

import pytest
import torch

from dip_engine.fit import build
from dip_engine.job import Settings
from dip_engine.networks import (
    BlindSpot,
    DeepDecoder,
    Ensemble,
    Generator,
    Skip,
    Up,
    draw_latent,
    initialise,
    parameter_count,
)
from dip_engine.presets import recipe_for


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_the_papers_network_has_the_published_number_of_parameters():
    assert parameter_count(Skip()) == 2_217_831


def test_the_preset_paper_builds_that_network():
    recipe = recipe_for("denoise", Settings(preset="paper"), noise_std=25 / 255)
    assert parameter_count(build(recipe, 3, seeded())) == 2_217_831


@pytest.mark.parametrize(("width", "count"), [(64, 25_536), (128, 100_224)])
def test_deep_decoder_has_the_published_number_of_parameters(width, count):
    assert parameter_count(DeepDecoder(width=width)) == count


SMALL = [
    lambda: Skip(channels=(8, 8), skips=(4, 0), upsample="nearest"),
    lambda: Skip(1, inputs=2, channels=(8, 8), skips=(0, 0), down_kernel=5, pointwise=False),
    lambda: Up(width=8, scales=2, top=8),
    lambda: DeepDecoder(width=8),
]


@pytest.mark.parametrize("make", SMALL)
@pytest.mark.parametrize("size", [(1, 1), (7, 90), (64, 64), (130, 65)])
def test_a_latent_network_makes_a_picture_of_the_padded_size(make, size):
    network: Generator = make()
    initialise(network, seeded())
    height, width = network.padded_size(*size)
    assert height >= size[0]
    assert width >= size[1]
    picture = network(draw_latent(network, height, width, seeded()))
    assert picture.shape[-2:] == (height, width)
    assert picture.min() >= 0
    assert picture.max() <= 1


def test_each_network_of_an_ensemble_has_weights_and_an_answer_of_its_own():
    members = [Up(width=8, scales=2, top=8) for _ in range(3)]
    for member in members:
        initialise(member, seeded(len(members)))
    initialise(members[1], seeded(9))
    ensemble = Ensemble(members)
    assert ensemble.padded_size(50, 70) == members[0].padded_size(50, 70)
    z = draw_latent(ensemble, *ensemble.padded_size(50, 70), seeded())
    first, other, same = ensemble(z)
    assert torch.equal(first, same)
    assert not torch.allclose(first, other, atol=0.01)
    assert torch.equal(first[None], members[0](z))


def test_the_latent_code_is_uniform_up_to_a_tenth():
    z = draw_latent(Skip(), 256, 256, seeded())
    assert z.shape == (1, 32, 256, 256)
    assert 0 <= z.min() < 0.001
    assert 0.099 < z.max() <= 0.1


def test_the_grid_holds_the_coordinates():
    z = draw_latent(Skip(inputs=2), 64, 32, seeded(), grid=True)
    assert z.shape == (1, 2, 64, 32)
    assert torch.equal(z[0, 0, 5], torch.linspace(0, 1, 32))
    assert torch.equal(z[0, 1, :, 5], torch.linspace(0, 1, 64))


def test_a_seed_gives_the_same_weights_and_another_seed_others():
    def weights(seed: int) -> torch.Tensor:
        network = Up(width=8)
        initialise(network, seeded(seed))
        return torch.cat([p.flatten() for p in network.parameters()])

    assert torch.equal(weights(3), weights(3))
    assert not torch.equal(weights(3), weights(4))


def test_the_blind_spot_network_starts_with_no_change():
    network = BlindSpot()
    initialise(network, seeded())
    assert not network(torch.rand(1, 3, 32, 32)).any()


@pytest.mark.parametrize("make", [*SMALL, lambda: BlindSpot(widths=(8, 8, 8, 8))])
def test_bfloat16_in_gives_float32_out_close_to_float32(make):
    network: Generator = make()
    initialise(network, seeded())
    shape = (1, network.inputs, 64 // network.latent_scale, 64 // network.latent_scale)
    z = torch.rand(shape, generator=seeded())
    exact, rough = network(z), network(z.bfloat16())
    assert rough.dtype == torch.float32
    assert (exact - rough).abs().mean() < 0.02
