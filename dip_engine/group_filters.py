"""Closed-form filters for groups of similar patches.

A filter takes groups of patches, references × k × channels × values of a patch, first the noisy
ones and then, if it uses a pilot, the same patches of an earlier estimate. It returns estimates of
that shape, and weights that spread to references × k × channels. The formulas stand in
`nonlocal_estimate`, with their sources.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch

Filtered = tuple[torch.Tensor, torch.Tensor]
GroupFilter = Callable[[list[torch.Tensor], float], Filtered]

_GROUPS_AT_ONCE = 256  # groups filtered together: what the processor's cache holds
_GPU_GROUPS = 4096  # likewise, on a GPU: half a gigabyte
_OFFSET = 2.0  # a group's level while a ridge is computed: far above the noise, so that it survives


def filter_groups(
    tables: list[torch.Tensor], members: torch.Tensor, group_filter: GroupFilter, noise_std: float
) -> Filtered:
    """Filter the groups and sum the weighted estimates and the weights per patch position."""
    positions, channels, length = tables[0].shape
    rows = [table.view(positions, -1) for table in tables]
    values = torch.zeros_like(rows[0])
    weights = values.new_zeros(positions, channels)
    count = _GPU_GROUPS if members.is_cuda else _GROUPS_AT_ONCE
    for some in torch.split(members, count):
        flat = some.reshape(-1)
        groups = [row.index_select(0, flat).view(*some.shape, channels, length) for row in rows]
        estimate, weight = group_filter(groups, noise_std)
        weight = weight.expand(*some.shape, channels)
        values.index_add_(0, flat, (estimate * weight[..., None]).view(len(flat), -1))
        weights.index_add_(0, flat, weight.reshape(len(flat), channels))
    return values.view(positions, channels, length), weights


def sure_ridge(groups: list[torch.Tensor], noise_std: float) -> Filtered:
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


def wiener_ridge(groups: list[torch.Tensor], noise_std: float) -> Filtered:
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


def patch_bayes(groups: list[torch.Tensor], noise_std: float) -> Filtered:
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


def wiener_cosine(groups: list[torch.Tensor], noise_std: float) -> Filtered:
    """Steps 2 and 3: shrink each coefficient of the group's 3-D cosine transform, per channel."""
    noisy, pilot = groups
    basis = cosine_basis(noisy.shape[1], noisy)
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


def patch_basis(side: int, like: torch.Tensor) -> torch.Tensor:
    """Return the orthonormal cosine basis of patches side×side, a flat patch per row."""
    basis = cosine_basis(side, like)
    return torch.kron(basis, basis)


def cosine_basis(size: int, like: torch.Tensor) -> torch.Tensor:
    """Return the orthonormal DCT-II matrix, one basis vector per row, on the device of `like`."""
    places = torch.arange(size, dtype=torch.float64)
    rows = torch.cos(math.pi / size * (places + 0.5) * places[:, None]) * math.sqrt(2 / size)
    rows[0] /= math.sqrt(2)
    return rows.to(like)
