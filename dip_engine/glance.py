"""The first picture of a restoration, in a fraction of a second: rough, but better than the input.

It is shown, and is the result where there is no time for more; what the fit begins with and is
joined with takes longer and is better.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from dip_engine.group_filters import patch_basis
from dip_engine.nonlocal_estimate import colour_basis
from dip_engine.operators import spread

MOST_PIXELS = 1_200_000  # of a larger picture a preview is smaller, and so has little noise anyway
PATCH, STEP = 8, 2
THRESHOLD = 2.7  # standard deviations of the noise
BAND = 16_384  # patches that are in memory together
POWER = 1 / 80  # of the detail that a blur weakens, as a variance


def without_noise(noisy: Tensor, noise_std: float) -> Tensor:
    """Remove white noise by hard thresholds in the cosine transform of overlapping patches.

    Source: Yu, Sapiro, "DCT image denoising: a simple and effective image denoising algorithm",
    IPOL 2011; patches that needed fewer coefficients count more, as in BM3D.

    Args:
        noisy: C×H×W float32, C = 1 or 3, 0–1.
        noise_std: on the 0–1 scale.

    Returns:
        The estimate, of the shape of `noisy`.
    """
    height, width = noisy.shape[1:]
    if noise_std <= 0 or min(height, width) < PATCH:
        return noisy
    colours = colour_basis(noisy)
    planes = torch.tensordot(colours, noisy, 1)
    below, right = -(height - PATCH) % STEP, -(width - PATCH) % STEP
    planes = F.pad(planes[None], [0, right, 0, below], mode="replicate")[0]
    rows = planes.shape[1]
    basis = patch_basis(PATCH, noisy)
    total, weight = torch.zeros_like(planes), torch.zeros_like(planes)
    lines = max(1, BAND * STEP // planes.shape[2])
    for top in range(0, rows - PATCH + 1, STEP * lines):
        band = slice(top, min(rows, top + STEP * (lines - 1) + PATCH))
        clean, counts = _thresholded(planes[:, band], basis, THRESHOLD * noise_std)
        total[:, band] += clean
        weight[:, band] += counts
    estimate: Tensor = torch.tensordot(colours.t(), total / weight, 1)[:, :height, :width]
    return estimate


def _thresholded(planes: Tensor, basis: Tensor, limit: float) -> tuple[Tensor, Tensor]:
    """Return the weighted sum of a band's patches without small coefficients, and the weights."""
    size = planes.shape[1:]
    coefficients = basis @ F.unfold(planes[:, None], PATCH, stride=STEP)
    kept = coefficients.abs() > limit
    kept[:, 0] = True
    share = 1 / kept.sum(1, keepdim=True)
    patches = basis.t() @ (coefficients * kept * share)
    total = F.fold(patches, size, PATCH, stride=STEP)
    weight = F.fold(share.expand_as(patches), size, PATCH, stride=STEP)
    return total[:, 0], weight[:, 0]


def without_holes(picture: Tensor, known: Tensor) -> Tensor:
    """Fill holes with ever coarser means of what is known around them.

    Source: Gortler, Grzeszczuk, Szeliski, Cohen, "The Lumigraph", SIGGRAPH 1996 ("pull-push").

    Args:
        picture: 1×C×H×W.
        known: 1×1×H×W, 1 or 0.

    Returns:
        The picture, equal to `picture` where it is known; 0 if nothing is.
    """
    if bool(known.all()) or max(known.shape[2:]) == 1:
        return known * picture
    share = F.avg_pool2d(known, 2, ceil_mode=True)
    mean = F.avg_pool2d(known * picture, 2, ceil_mode=True) / share.clamp_min(1e-6)
    coarse = without_holes(mean, (share > 0).to(known))
    smooth = F.interpolate(coarse, scale_factor=2.0, mode="bilinear", align_corners=False)
    height, width = known.shape[2:]
    return torch.where(known > 0, picture, smooth[:, :, :height, :width])


def without_blur(blurred: Tensor, kernel: Tensor, noise_std: float) -> Tensor:
    """Invert a blur where the noise allows it (Wiener's filter), borders mirrored.

    Args:
        blurred: 1×C×H×W.
        kernel: k×k, sums to 1.
        noise_std: on the 0–1 scale, above 0.
    """
    border = min(2 * kernel.shape[0], *(side - 1 for side in blurred.shape[2:]))
    padded = F.pad(blurred, [border] * 4, mode="reflect")
    height, width = padded.shape[2:]
    transfer = torch.fft.rfft2(spread(kernel, (height, width)))
    inverse = transfer.conj() / (transfer.abs().square() + noise_std**2 / POWER)
    sharp: Tensor = torch.fft.irfft2(torch.fft.rfft2(padded) * inverse, s=(height, width))
    return sharp[..., border : height - border, border : width - border]
