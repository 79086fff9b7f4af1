"""The measurement A of each task: what a clean picture x would look like to the camera.

    identity          y = x                          denoise, inpaint, JPEG in the paper
    lanczos           y = (x ∗ k)↓f                  super-resolution
    blur              y = k ∗ x, what k covers       deblurring
    block DCT         c = D x                        JPEG: the coefficients that were rounded

All act on 1×C×H×W float32 tensors, are linear and differentiable.
"""

from __future__ import annotations

from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dip_engine.colours import WEIGHTS
from dip_engine.group_filters import cosine_basis


class Lanczos:
    """Low-pass filter and decimation by a whole factor.

    The paper's super-resolution operator, Lanczos2: pixel i of the small picture is the centre of
    a factor×factor block of the large one, which for even factors lies between pixels.

    Args:
        factor: 2, 3, 4 or 8.
        lobes: 2 for the paper's kernel.
        device: of the pictures. A step that is replayed may not move the kernel there.
    """

    def __init__(self, factor: int, *, lobes: int = 2, device: torch.device | str = "cpu") -> None:
        self.factor = factor
        count = 2 * lobes * factor - factor % 2
        x = (torch.arange(count, dtype=torch.float64) - (count - 1) / 2) / factor
        kernel = torch.sinc(x) * torch.sinc(x / lobes)
        self.kernel = (kernel / kernel.sum()).float().to(device)
        self.border = (count - factor) // 2

    def __call__(self, picture: Tensor) -> Tensor:
        """Return the small picture: 1×C×(H/factor)×(W/factor)."""
        channels = picture.shape[1]
        kernel = self.kernel
        x = F.pad(picture, [self.border] * 4, mode="replicate")
        rows = kernel.view(1, 1, -1, 1).expand(channels, 1, -1, 1)
        columns = kernel.view(1, 1, 1, -1).expand(channels, 1, 1, -1)
        x = F.conv2d(x, rows, stride=(self.factor, 1), groups=channels)
        return F.conv2d(x, columns, stride=(1, self.factor), groups=channels)


class Blur:
    """Convolution with a kernel, where the kernel lies wholly inside the picture.

    The picture is larger than its blur by the kernel's radius on each side: what is beyond the
    border of a photo has been blurred into it.

    Args:
        kernel: k×k with odd k, sums to 1.
        height, width: of the picture.
    """

    def __init__(self, kernel: Tensor, height: int, width: int) -> None:
        self.size = height, width
        self.radius = kernel.shape[0] // 2
        self.transfer = torch.fft.rfft2(spread(kernel, self.size))

    def __call__(self, picture: Tensor) -> Tensor:
        """Return the blurred picture: 1×C×(H − 2·radius)×(W − 2·radius)."""
        height, width = self.size
        # The transform joins opposite borders; what that touches is cut off.
        blurred = torch.fft.irfft2(torch.fft.rfft2(picture) * self.transfer, s=self.size)
        r = self.radius
        seen: Tensor = blurred[..., r : height - r, r : width - r]
        return seen


class FreeBlur(nn.Module):
    """A blur whose kernel is fitted too: the softmax of its parameters.

    Args:
        kernel: k×k to begin with, sums to 1.
        height, width: of the blurred picture.
    """

    def __init__(self, kernel: Tensor, height: int, width: int) -> None:
        super().__init__()
        border = 2 * (kernel.shape[0] // 2)
        self.size = height + border, width + border
        # A value of 0 would never come back.
        self.logits = nn.Parameter((kernel / kernel.max() + 1e-3).log())

    def kernel(self) -> Tensor:
        """Return the kernel of now."""
        return self.logits.flatten().softmax(0).view_as(self.logits)

    def forward(self, picture: Tensor) -> Tensor:
        """Return the blurred picture, see `Blur`."""
        return Blur(self.kernel(), *self.size)(picture)


def spread(kernel: Tensor, size: tuple[int, int]) -> Tensor:
    """Return a kernel as a picture of a size that repeats itself, its centre in the corner.

    What of a larger kernel leaves the picture comes in again on the other side.
    """
    (height, width), side = size, kernel.shape[0]
    whole = F.pad(kernel, [0, -side % width, 0, -side % height])
    large = whole.view(-1, height, whole.shape[1] // width, width).sum((0, 2))
    return large.roll((-(side // 2), -(side // 2)), (0, 1))


def identity(picture: Tensor) -> Tensor:
    """Return the picture itself."""
    return picture


@cache
def _block_basis(device: torch.device) -> Tensor:
    return cosine_basis(8, torch.empty(0, device=device))


def block_dct(plane: Tensor) -> Tensor:
    """Return the 8×8 block DCT of a …×H×W plane (H, W multiples of 8), same shape.

    Each block's coefficients lie where its pixels lay. On the 0–255 scale of JPEG a coefficient is
    255 times what this gives for 0–1 values.
    """
    matrix = _block_basis(plane.device)
    return _per_block("fi,...aibj,gj->...afbg", matrix, plane)


def jpeg_coefficients(picture: Tensor) -> Tensor:
    """Return the coefficients that JPEG rounds: the luminance of 1×C×H×W as 1×1×H×W, C = 1 or 3."""
    if picture.shape[1] == 3:
        weights = _luminance_weights(picture.device)
        picture = (picture * weights.view(1, 3, 1, 1)).sum(1, keepdim=True)
    return block_dct(picture - 128 / 255)


@cache
def _luminance_weights(device: torch.device) -> Tensor:
    return torch.from_numpy(WEIGHTS).to(device)


def inverse_block_dct(coefficients: Tensor) -> Tensor:
    """Return the plane of which `block_dct` gives these coefficients."""
    matrix = _block_basis(coefficients.device)
    return _per_block("fi,...afbg,gj->...aibj", matrix, coefficients)


def _per_block(equation: str, matrix: Tensor, plane: Tensor) -> Tensor:
    height, width = plane.shape[-2:]
    blocks = plane.reshape(*plane.shape[:-2], height // 8, 8, width // 8, 8)
    return torch.einsum(equation, matrix, blocks, matrix).reshape(plane.shape)
