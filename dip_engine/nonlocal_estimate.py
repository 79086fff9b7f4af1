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

from collections.abc import Generator
from dataclasses import dataclass

import torch
import torch.nn.functional as F

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
from dip_engine.patch_groups import STEP, Canvas, blocks

_LARGE_NOISE = 35 / 255  # from here on larger patches and groups pay
_SMALLEST_SIDE = 28  # pixels that hold a patch and a quarter of a search window
SMALLEST_NOISE = 1e-6  # below it there is nothing to remove


@dataclass(frozen=True)
class Sizes:
    """Patch sides in pixels and patches per group."""

    first: tuple[int, int]
    ridge: tuple[int, int]
    bayes: tuple[int, int]
    cosine: tuple[int, int]
    colour: tuple[int, int]


_USUAL = Sizes(first=(8, 18), ridge=(6, 56), bayes=(6, 56), cosine=(8, 32), colour=(8, 56))
_COARSE = Sizes(first=(9, 18), ridge=(8, 90), bayes=(8, 90), cosine=(8, 32), colour=(8, 64))
# Of the second estimate: they keep more texture and more noise, so that the two err differently.
_FINE = Sizes(first=(6, 18), ridge=(5, 48), bayes=(5, 48), cosine=(6, 32), colour=(6, 56))
_FINE_LARGE = Sizes(first=(8, 18), ridge=(6, 64), bayes=(6, 64), cosine=(6, 32), colour=(6, 64))


def sizes_for(noise_std: float, *, fine: bool = False) -> Sizes:
    """Return patches and groups for a noise level."""
    if noise_std < _LARGE_NOISE:
        return _FINE if fine else _USUAL
    return _FINE_LARGE if fine else _COARSE


def nonlocal_estimate(
    noisy: torch.Tensor, noise_std: float, *, twice: bool = False
) -> Generator[float, None, torch.Tensor]:
    """Remove white noise of a known level.

    Args:
        noisy: C×H×W float32 picture, C = 1 or 3, 0–1 (values outside are allowed), on any device.
        noise_std: standard deviation of the noise on the 0–1 scale.
        twice: average it with a second estimate, from smaller patches in between: about 0.1 dB
            better in twice the time.

    Yields:
        The fraction of the work that is done, several times a second; stop iterating to cancel.

    Returns:
        The estimate, of the shape and on the device of `noisy`, not clipped.
    """
    if not noise_std > SMALLEST_NOISE:
        yield 1.0
        return noisy.clone()
    colours = colour_basis(noisy)
    height, width = noisy.shape[1:]
    planes = torch.tensordot(colours, enlarged(noisy), 1)
    progress = _Progress((1 + twice) * (6 if len(noisy) > 1 else 4), noise_std)
    clean = yield from _denoise(planes, sizes_for(noise_std), progress)
    if twice:
        between = F.pad(planes, [STEP // 2, 0, STEP // 2, 0], mode="reflect")
        fine = yield from _denoise(between, sizes_for(noise_std, fine=True), progress)
        clean = (clean + fine[:, STEP // 2 :, STEP // 2 :]) / 2
    estimate = torch.tensordot(colours.t(), clean, 1)[:, :height, :width]
    return undo_clipping(estimate, noisy, noise_std)


def _denoise(
    noisy: torch.Tensor, sizes: Sizes, progress: _Progress
) -> Generator[float, None, torch.Tensor]:
    """Run the recipe on luminance and, if there are any, colour-difference planes."""
    luma, chroma = noisy[:1], noisy[1:]
    coloured = bool(len(chroma))

    first = yield from progress.run([noisy], noisy[0], sizes.first, sure_ridge)
    guide = first[0]
    ridge = yield from progress.run([luma, first[:1]], guide, sizes.ridge, wiener_ridge)
    pilot = ridge
    if coloured:
        colour = yield from progress.run(
            [chroma, first[1:]], guide, sizes.cosine, wiener_cosine, cosine=True
        )
        pilot = torch.cat((ridge, colour))
    guide = ridge[0]
    bayes = yield from progress.run([luma, ridge], guide, sizes.bayes, patch_bayes)
    cosine = yield from progress.run(
        [noisy, pilot], guide, sizes.cosine, wiener_cosine, cosine=True
    )
    clean: torch.Tensor = 0.35 * ridge + 0.40 * bayes + 0.25 * cosine[:1]
    if coloured:
        again = yield from progress.run(
            [chroma, cosine[1:]], guide, sizes.colour, wiener_cosine, cosine=True
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
        basis = patch_basis(patch, guide)
        plan = list(blocks(patch, height, width, on_gpu=guide.is_cuda))
        for number, block in enumerate(plan, 1):
            members = block.match(guide, count)
            tables = [block.table(picture) for picture in pictures]
            if cosine:
                tables = [table @ basis.t() for table in tables]
            values, weights = filter_groups(tables, members, group_filter, self._noise_std)
            canvas.add(block, values @ basis if cosine else values, weights)
            yield (self._done + number / len(plan)) / self._filters
        self._done += 1
        return canvas.mean()


def colour_basis(like: torch.Tensor) -> torch.Tensor:
    """Return the orthonormal matrix from RGB to luminance and two differences (gray: 1×1)."""
    if like.shape[0] == 1:
        return torch.ones(1, 1, device=like.device)
    rows = torch.tensor([[1.0, 1.0, 1.0], [1.0, 0.0, -1.0], [1.0, -2.0, 1.0]]).to(like)
    return rows / rows.square().sum(1, keepdim=True).sqrt()


def enlarged(picture: torch.Tensor) -> torch.Tensor:
    """Mirror a picture that is too small for a search window until it is large enough."""
    for dim in (1, 2):
        length = picture.shape[dim]
        if length < _SMALLEST_SIDE:
            places = torch.arange(_SMALLEST_SIDE, device=picture.device) % (2 * length)
            places = torch.minimum(places, 2 * length - 1 - places)
            picture = picture.index_select(dim, places)
    return picture
