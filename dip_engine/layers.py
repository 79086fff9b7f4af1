"""What the networks are made of.

Number format: parameters stay float32, and each convolution casts them to the format of its
input. So a bfloat16 input makes everything between input and output bfloat16 (autocast would send
the padding back to float32 and copy), while the optimiser works on float32 master weights.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Convolution(nn.Conv2d):
    """A convolution that keeps the size (÷ stride) and computes in the format of its input."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int,
        *,
        stride: int = 1,
        padding: str = "reflect",
        bias: bool = True,
    ) -> None:
        super().__init__(inputs, outputs, kernel, stride=stride, bias=bias)
        self.border = kernel // 2
        self.border_mode = padding

    def forward(self, x: Tensor) -> Tensor:
        weight = self.weight.to(x.dtype)
        bias = None if self.bias is None else self.bias.to(x.dtype)
        if self.border and self.border_mode == "reflect":
            x = F.pad(x, [self.border] * 4, mode="reflect")
            return F.conv2d(x, weight, bias, self.stride)
        return F.conv2d(x, weight, bias, self.stride, padding=self.border)


class Normalised(nn.Module):
    """Convolution, batch normalisation on the batch's own statistics, LeakyReLU 0.2."""

    def __init__(self, inputs: int, outputs: int, kernel: int, *, stride: int = 1) -> None:
        super().__init__()
        self.convolution = Convolution(inputs, outputs, kernel, stride=stride)
        self.norm = BatchNorm(outputs)

    def forward(self, x: Tensor) -> Tensor:
        return F.leaky_relu(self.norm(self.convolution(x)), 0.2, inplace=True)


class BatchNorm(nn.Module):
    """Batch normalisation without running statistics: one picture is the whole batch, always."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        return F.batch_norm(x, None, None, self.weight, self.bias, training=True)


def enlarge(x: Tensor, mode: str) -> Tensor:
    """Double height and width."""
    if mode == "nearest":
        return F.interpolate(x, scale_factor=2, mode="nearest")
    return F.interpolate(x, scale_factor=2, mode=mode, align_corners=False)
