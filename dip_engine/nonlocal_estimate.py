"""The non-local estimate: groups of similar patches, filtered in closed form.

Nothing is trained and nothing is fitted by descent. With Y the noisy patches of a group (k×n), X
the same patches of an earlier estimate and s the noise level:

1. all channels stacked, Θ = I − n·s²·(YYᵀ + δI)⁻¹, which minimises Stein's unbiased estimate of
   the risk of ΘY;
2. luminance by Θ = XXᵀ(XXᵀ + n·s²·I)⁻¹, colour by a Wiener filter of the group's 3-D cosine
   transform;
3. luminance once more by the empirical Bayes estimate from the group's patch covariance and by the
   3-D cosine transform, colour by that transform twice; the estimates of steps 2 and 3 are
   averaged.

The ideas come from NL-Ridge (Herbreteau and Kervrann, 2022), NL-Bayes (Lebrun, Buades and Morel,
2013) and BM3D (Dabov and others, 2007). White Gaussian noise of one level is assumed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator
from dataclasses import dataclass

import torch

from dip_engine.noise import undo_clipping
from dip_engine.patch_groups import Canvas, blocks

# groups (references × k × channels × values) in; estimates of that shape and weights out, the
# weights of a shape that spreads to references × k × channels.
Filtered = tuple[torch.Tensor, torch.Tensor]
GroupFilter = Callable[[list[torch.Tensor], float], Filtered]

_LARGE_NOISE = 35 / 255  # from here on larger patches and groups pay
_SMALLEST_SIDE = 28  # pixels that hold a patch and a quarter of a search window
_GROUPS_AT_ONCE = 256  # groups filtered together: what the processor's cache holds
_OFFSET = 2.0  # a group's level while a ridge is computed: far above the noise, so that it survives
_SMALLEST_NOISE = 1e-6  # below it there is nothing to remove


@dataclass(frozen=True)
class _Sizes:
    """Patch sides in pixels and patches per group."""

    first: tuple[int, int]
    ridge: tuple[int, int]
    bayes: tuple[int, int]
    cosine: tuple[int, int]
    colour: tuple[int, int]


_USUAL = _Sizes(first=(8, 18), ridge=(6, 56), bayes=(6, 56), cosine=(8, 32), colour=(8, 56))
_COARSE = _Sizes(first=(9, 18), ridge=(8, 90), bayes=(8, 90), cosine=(8, 32), colour=(8, 64))


def nonlocal_estimate(
    noisy: torch.Tensor, noise_std: float
) -> Generator[float, None, torch.Tensor]:
    """Remove white noise of a known level.

    Args:
        noisy: C×H×W float32 picture, C = 1 or 3, 0–1 (values outside are allowed), on any device.
        noise_std: standard deviation of the noise on the 0–1 scale.

    Yields:
        The fraction of the work that is done, several times a second; stop iterating to cancel.

    Returns:
        The estimate, of the shape and on the device of `noisy`, not clipped.
    """
    if not noise_std > _SMALLEST_NOISE:
        yield 1.0
        return noisy.clone()
    colours = _colour_basis(noisy)
    height, width = noisy.shape[1:]
    planes = torch.tensordot(colours, _enlarged(noisy), 1)
    clean = yield from _denoise(planes, noise_std)
    estimate = torch.tensordot(colours.t(), clean, 1)[:, :height, :width]
    return undo_clipping(estimate, noisy, noise_std)


def _denoise(noisy: torch.Tensor, noise_std: float) -> Generator[float, None, torch.Tensor]:
    """Run the recipe on luminance and, if there are any, colour-difference planes."""
    sizes = _USUAL if noise_std < _LARGE_NOISE else _COARSE
    luma, chroma = noisy[:1], noisy[1:]
    coloured = bool(len(chroma))
    progress = _Progress(6 if coloured else 4, noise_std)

    first = yield from progress.run([noisy], noisy[0], sizes.first, _sure_ridge)
    guide = first[0]
    ridge = yield from progress.run([luma, first[:1]], guide, sizes.ridge, _wiener_ridge)
    pilot = ridge
    if coloured:
        colour = yield from progress.run(
            [chroma, first[1:]], guide, sizes.cosine, _wiener_cosine, cosine=True
        )
        pilot = torch.cat((ridge, colour))
    guide = ridge[0]
    bayes = yield from progress.run([luma, ridge], guide, sizes.bayes, _bayes)
    cosine = yield from progress.run(
        [noisy, pilot], guide, sizes.cosine, _wiener_cosine, cosine=True
    )
    clean: torch.Tensor = 0.35 * ridge + 0.40 * bayes + 0.25 * cosine[:1]
    if coloured:
        again = yield from progress.run(
            [chroma, cosine[1:]], guide, sizes.colour, _wiener_cosine, cosine=True
        )
        clean = torch.cat((clean, 0.25 * cosine[1:] + 0.75 * again))
    return clean


class _Progress:
    """Runs the recipe's filters over a picture one after the other and counts them."""

    def __init__(self, filters: int, noise_std: float) -> None:
        self._filters = filters
        self._noise_std = noise_std
        self._done = 0

    def run(
        self,
        pictures: list[torch.Tensor],
        guide: torch.Tensor,
        size: tuple[int, int],
        group_filter: GroupFilter,
        cosine: bool = False,
    ) -> Generator[float, None, torch.Tensor]:
        """Filter groups of the pictures' patches, yielding the fraction done of the whole recipe.

        Args:
            pictures: C×H×W each: the noisy one, and the pilot if the filter takes one.
            guide: H×W plane on which similar patches are searched.
            size: side of a patch, patches per group.
            group_filter: what turns a group into its estimate.
            cosine: give the filter the patches' cosine transforms.
        """
        patch, count = size
        channels, height, width = pictures[0].shape
        canvas = Canvas(channels, height, width, guide.device)
        basis = _cosine_basis(patch, guide)
        basis = torch.kron(basis, basis)
        plan = list(blocks(patch, height, width))
        for number, block in enumerate(plan, 1):
            members = block.match(guide, count)
            tables = [block.table(picture) for picture in pictures]
            if cosine:
                tables = [table @ basis.t() for table in tables]
            values, weights = _filter_groups(tables, members, group_filter, self._noise_std)
            canvas.add(block, values @ basis if cosine else values, weights)
            yield (self._done + number / len(plan)) / self._filters
        self._done += 1
        return canvas.mean()


def _filter_groups(
    tables: list[torch.Tensor], members: torch.Tensor, group_filter: GroupFilter, noise_std: float
) -> Filtered:
    """Filter the groups and sum the weighted estimates and the weights per patch position."""
    positions, channels, length = tables[0].shape
    rows = [table.view(positions, -1) for table in tables]
    values = torch.zeros_like(rows[0])
    weights = values.new_zeros(positions, channels)
    for some in torch.split(members, _GROUPS_AT_ONCE):
        flat = some.reshape(-1)
        groups = [row.index_select(0, flat).view(*some.shape, channels, length) for row in rows]
        estimate, weight = group_filter(groups, noise_std)
        weight = weight.expand(*some.shape, channels)
        values.index_add_(0, flat, (estimate * weight[..., None]).view(len(flat), -1))
        weights.index_add_(0, flat, weight.reshape(len(flat), channels))
    return values.view(positions, channels, length), weights


def _sure_ridge(groups: list[torch.Tensor], noise_std: float) -> Filtered:
    """Step 1: Θ = I − n·s²·(YYᵀ + δI)⁻¹ on the noisy group alone, all channels stacked."""
    (noisy,) = groups
    level = _level(noisy[:, :, :1])
    stacked = noisy.clone()
    stacked[:, :, :1] -= level
    stacked = stacked.flatten(2)
    energy = stacked.shape[2] * noise_std**2
    gram = stacked @ stacked.mT
    # The floor keeps float32 factorisations alive where the noise is far below the picture.
    floor = 0.01 * energy + 3e-6 * gram.diagonal(dim1=1, dim2=2).sum(1)
    theta = torch.eye(gram.shape[1], device=gram.device) - energy * torch.cholesky_inverse(
        _factor(gram, floor)
    )
    estimate = (theta @ stacked).view_as(noisy)
    estimate[:, :, :1] += level
    return estimate, _weights(theta)


def _wiener_ridge(groups: list[torch.Tensor], noise_std: float) -> Filtered:
    """Step 2, luminance: Θ = XXᵀ(XXᵀ + n·s²·I)⁻¹, computed as X(XᵀX + n·s²·I)⁻¹Xᵀ."""
    noisy, pilot = groups
    level = _level(pilot)
    clean = (pilot - level).flatten(2)
    energy = clean.shape[2] * noise_std**2
    gram = clean.mT @ clean
    floor = energy + 3e-6 * gram.diagonal(dim1=1, dim2=2).sum(1)
    theta = clean @ torch.cholesky_solve(clean.mT, _factor(gram, floor))
    estimate = (theta @ (noisy - level).flatten(2)).view_as(noisy) + level
    return estimate, _weights(theta)


def _bayes(groups: list[torch.Tensor], noise_std: float) -> Filtered:
    """Step 3, luminance: the mean of the pilot's patches plus C(C + s²I)⁻¹ of the difference."""
    noisy, pilot = groups
    clean = pilot.flatten(2)
    mean = clean.mean(1, keepdim=True)
    centred = clean - mean
    covariance = centred.mT @ centred / clean.shape[1]
    floor = noise_std**2 + 3e-6 * covariance.diagonal(dim1=1, dim2=2).sum(1)
    wiener = torch.cholesky_solve(covariance, _factor(covariance, floor))
    estimate = (noisy.flatten(2) - mean) @ wiener + mean
    return estimate.view_as(noisy), noisy.new_ones(1, 1, 1)


def _wiener_cosine(groups: list[torch.Tensor], noise_std: float) -> Filtered:
    """Steps 2 and 3: shrink each coefficient of the group's 3-D cosine transform, per channel."""
    noisy, pilot = groups
    basis = _cosine_basis(noisy.shape[1], noisy)
    power = (basis @ pilot.flatten(2)).square_()
    gain = power.div_(power + noise_std**2)
    estimate = basis.t() @ (basis @ noisy.flatten(2)).mul_(gain)
    weight = 1 / (gain.view_as(noisy).square().sum((1, 3)) + 1e-3)
    return estimate.view_as(noisy), weight[:, None]


def _level(group: torch.Tensor) -> torch.Tensor:
    """Return what to subtract from each group so that its mean is `_OFFSET`.

    A ridge pulls towards zero; so it treats dark and bright patches alike and keeps their mean.
    """
    return group.mean((1, 2, 3), keepdim=True) - _OFFSET


def _weights(theta: torch.Tensor) -> torch.Tensor:
    """Return 1/‖row of Θ‖², the inverse of the noise left in each patch: references × k × 1."""
    return 1 / (theta.square().sum(2, keepdim=True) + 1e-4)


def _factor(gram: torch.Tensor, floor: torch.Tensor) -> torch.Tensor:
    """Return the Cholesky factors of gram + floor·I for a batch of matrices and their floors.

    A matrix that fails in float32 all the same becomes its diagonal, without asking the device:
    such a group is then hardly filtered.
    """
    eye = torch.eye(gram.shape[1], device=gram.device)
    factor, failed = torch.linalg.cholesky_ex(gram + floor[:, None, None] * eye)
    diagonal = gram.diagonal(dim1=1, dim2=2).sum(1) + floor
    crude = diagonal.sqrt()[:, None, None] * eye
    return torch.where((failed > 0)[:, None, None], crude, factor)


def _cosine_basis(size: int, like: torch.Tensor) -> torch.Tensor:
    """Return the orthonormal DCT-II matrix, one basis vector per row, on the device of `like`."""
    places = torch.arange(size, dtype=torch.float64)
    rows = torch.cos(math.pi / size * (places + 0.5) * places[:, None]) * math.sqrt(2 / size)
    rows[0] /= math.sqrt(2)
    return rows.to(like)


def _colour_basis(like: torch.Tensor) -> torch.Tensor:
    """Return the orthonormal matrix from RGB to luminance and two differences (gray: 1×1)."""
    if like.shape[0] == 1:
        return torch.ones(1, 1, device=like.device)
    rows = torch.tensor([[1.0, 1.0, 1.0], [1.0, 0.0, -1.0], [1.0, -2.0, 1.0]]).to(like)
    return rows / rows.square().sum(1, keepdim=True).sqrt()


def _enlarged(picture: torch.Tensor) -> torch.Tensor:
    """Mirror a picture that is too small for a search window until it is large enough."""
    for dim in (1, 2):
        length = picture.shape[dim]
        if length < _SMALLEST_SIDE:
            places = torch.arange(_SMALLEST_SIDE, device=picture.device) % (2 * length)
            places = torch.minimum(places, 2 * length - 1 - places)
            picture = picture.index_select(dim, places)
    return picture
