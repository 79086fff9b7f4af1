"""Encoder and decoder with thin skip connections: the body of the paper's network."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from dip_engine.layers import BatchNorm, Normalised, enlarge


class Hourglass(nn.Module):
    """One scale, with all that are deeper.

    Per scale: two 3×3 convolutions down (the first with stride 2), what is deeper, ×2 up, joined
    with a 1×1 convolution of the input (skip), normalised, 3×3 and 1×1 convolution.

    Source: Ulyanov, Vedaldi, Lempitsky, "Deep Image Prior", CVPR 2018, and its supplement.

    Args:
        inputs: channels of the input.
        channels: per scale, finest first.
        skips: channels of the skip connection per scale; 0 leaves it out.
        upsample: ``bilinear`` or ``nearest``, for all scales or per scale.
        down_kernel: side of the encoder's convolutions.
        pointwise: add the 1×1 convolution after the decoder's 3×3.
    """

    def __init__(
        self,
        inputs: int,
        channels: Sequence[int],
        skips: Sequence[int],
        *,
        upsample: str | Sequence[str] = "bilinear",
        down_kernel: int = 3,
        pointwise: bool = True,
    ) -> None:
        super().__init__()
        width, skip = channels[0], skips[0]
        self.mode = upsample if isinstance(upsample, str) else upsample[0]
        self.skip = Normalised(inputs, skip, 1) if skip else None
        self.down = nn.Sequential(
            Normalised(inputs, width, down_kernel, stride=2),
            Normalised(width, width, down_kernel),
        )
        self.deeper: Hourglass | None = None
        below = width
        if len(channels) > 1:
            below = channels[1]
            self.deeper = Hourglass(
                width,
                channels[1:],
                skips[1:],
                upsample=upsample if isinstance(upsample, str) else upsample[1:],
                down_kernel=down_kernel,
                pointwise=pointwise,
            )
        self.norm = BatchNorm(below + skip)
        self.up = nn.Sequential(Normalised(below + skip, width, 3))
        if pointwise:
            self.up.append(Normalised(width, width, 1))

    def forward(self, x: Tensor) -> Tensor:
        below = self.down(x)
        if self.deeper is not None:
            below = self.deeper(below)
        below = enlarge(below, self.mode)
        if self.skip is not None:
            below = torch.cat([self.skip(x), below], 1)
        joined: Tensor = self.up(self.norm(below))
        return joined
