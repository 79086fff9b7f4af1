"""The generators: untrained networks whose structure is the prior.

Every network maps an input of H×W (or H/2×W/2, H/32×W/32, see `latent_scale`) to a picture of
H×W (an `Ensemble` to several). H and W must be multiples of `multiple` and at least `minimum`;
`padded_size` tells how much to add, and the caller crops what it does not need.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dip_engine.hourglass import Hourglass
from dip_engine.layers import BatchNorm, Convolution, Normalised, enlarge


class Generator(nn.Module):
    """Base of the networks: what a caller must know to feed one.

    Attributes:
        inputs: channels of the input.
        latent_scale: how many times smaller the input is than the picture.
        multiple, minimum: constraints on height and width of the picture.
    """

    inputs: int = 32
    head: nn.Conv2d
    latent_scale: int = 1
    multiple: int = 32
    minimum: int = 64

    def padded_size(self, height: int, width: int) -> tuple[int, int]:
        """Return the smallest size that holds height×width and that the network can make."""

        def up(n: int) -> int:
            return max(self.minimum, math.ceil(n / self.multiple) * self.multiple)

        return up(height), up(width)


class Skip(Generator):
    """The paper's network; 2,217,831 parameters at its default."""

    def __init__(
        self,
        outputs: int = 3,
        *,
        inputs: int = 32,
        channels: Sequence[int] = (128,) * 5,
        skips: Sequence[int] = (4,) * 5,
        upsample: str | Sequence[str] = "bilinear",
        down_kernel: int = 3,
        pointwise: bool = True,
    ) -> None:
        super().__init__()
        self.inputs = inputs
        self.multiple = 2 ** len(channels)
        # Reflection at the deepest scale needs more pixels than it adds on either side.
        self.minimum = self.multiple * (1 + down_kernel // 2)
        self.body = Hourglass(
            inputs,
            channels,
            skips,
            upsample=upsample,
            down_kernel=down_kernel,
            pointwise=pointwise,
        )
        self.head = Convolution(channels[0], outputs, 1)

    def forward(self, z: Tensor) -> Tensor:
        return torch.sigmoid(self.head(self.body(z)).float())


class Up(Generator):
    """A tenth of the paper's work per iteration: its body at half the size, then one step up.

    Half of the channels go that step: the convolution after it is most of the work.
    """

    latent_scale = 2

    def __init__(
        self,
        outputs: int = 3,
        *,
        inputs: int = 32,
        width: int = 64,
        scales: int = 4,
        top: int = 32,
    ) -> None:
        super().__init__()
        self.inputs = inputs
        self.multiple = 2 ** (scales + 1)
        self.minimum = 2 * self.multiple
        self.body = Hourglass(self.inputs, (width,) * scales, (4,) * scales)
        self.squeeze = Normalised(width, top, 1)
        self.top = Normalised(top, top, 3)
        self.head = Convolution(top, outputs, 1)

    def forward(self, z: Tensor) -> Tensor:
        x = self.top(enlarge(self.squeeze(self.body(z)), "bilinear"))
        return torch.sigmoid(self.head(x).float())


class UNet(Generator):
    """The U-Net: what the encoder saw at each scale is handed over whole to the decoder.

    Source: Ronneberger, Fischer, Brox, "U-Net", MICCAI 2015; as a prior in Ulyanov et al. 2018.
    """

    def __init__(
        self, outputs: int = 3, *, inputs: int = 32, channels: Sequence[int] = (32, 64, 128, 128)
    ) -> None:
        super().__init__()
        self.inputs = inputs
        self.multiple = 2 ** (len(channels) - 1)
        self.minimum = 2 * self.multiple
        self.first = _twice(inputs, channels[0])
        self.downs = nn.ModuleList(_twice(a, b, stride=2) for a, b in pairwise(channels))
        self.ups = nn.ModuleList(_twice(a + b, a) for a, b in pairwise(channels))
        self.head = Convolution(channels[0], outputs, 1)

    def forward(self, z: Tensor) -> Tensor:
        x = self.first(z)
        seen = [x]
        for down in self.downs:
            x = down(x)
            seen.append(x)
        for up, before in zip(reversed(self.ups), reversed(seen[:-1]), strict=True):
            x = up(torch.cat([before, enlarge(x, "bilinear")], 1))
        return torch.sigmoid(self.head(x).float())


def _twice(inputs: int, outputs: int, *, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        Normalised(inputs, outputs, 3, stride=stride), Normalised(outputs, outputs, 3)
    )


class DeepDecoder(Generator):
    """1×1 convolutions and bilinear upsampling alone: too small to hold much noise.

    Source: Heckel, Hand, "Deep Decoder", ICLR 2019. 25,536 parameters with 64 channels.
    """

    latent_scale = 32

    def __init__(self, outputs: int = 3, *, width: int = 64, layers: int = 6) -> None:
        super().__init__()
        self.inputs = width
        self.steps = nn.ModuleList(Convolution(width, width, 1, bias=False) for _ in range(layers))
        self.norms = nn.ModuleList(BatchNorm(width) for _ in range(layers))
        self.head = Convolution(width, outputs, 1, bias=False)

    def forward(self, z: Tensor) -> Tensor:
        for index, (step, norm) in enumerate(zip(self.steps, self.norms, strict=True)):
            z = step(z)
            if index < len(self.steps) - 1:
                z = enlarge(z, "bilinear")
            z = norm(F.relu(z))
        return torch.sigmoid(self.head(z).float())


class BlindSpot(Generator):
    """A small U-net that sees the noisy picture with some values dropped and guesses those.

    The output is added to a slight blur of the input by the caller, so the last convolution
    starts at zero. No normalisation: the input is a picture, not a latent code.

    Sources: Krull et al., "Noise2Void", CVPR 2019; Quan et al., "Self2Self", CVPR 2020.
    """

    multiple = 8
    minimum = 16

    def __init__(self, outputs: int = 3, *, widths: Sequence[int] = (32, 48, 64, 96)) -> None:
        super().__init__()
        self.inputs = outputs
        self.first = Convolution(outputs, widths[0], 3, padding="zeros")
        self.downs = nn.ModuleList()
        self.lifts = nn.ModuleList()
        self.skips = nn.ModuleList()
        self.ups = nn.ModuleList()
        for index, (fine, coarse) in enumerate(pairwise(widths)):
            self.downs.append(
                nn.ModuleList(
                    [
                        Convolution(fine, coarse, 3, stride=2, padding="zeros"),
                        Convolution(coarse, coarse, 3, padding="zeros"),
                    ]
                )
            )
            self.lifts.append(Convolution(coarse, fine, 1))
            self.skips.append(Convolution(fine, fine, 1))
            self.ups.append(
                nn.ModuleList(
                    Convolution(fine, fine, 3, padding="zeros") for _ in range(2 if index else 1)
                )
            )
        self.head = Convolution(widths[0], outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = F.leaky_relu(self.first(x), 0.1, inplace=True)
        kept = []
        for down in self.downs:
            kept.append(x)
            for convolution in down:  # type: ignore[attr-defined]
                x = F.leaky_relu(convolution(x), 0.1, inplace=True)
        for index in reversed(range(len(self.ups))):
            x = enlarge(self.lifts[index](x), "bilinear").add_(self.skips[index](kept[index]))
            x = F.leaky_relu(x, 0.1, inplace=True)
            for convolution in self.ups[index]:  # type: ignore[attr-defined]
                x = F.leaky_relu(convolution(x), 0.1, inplace=True)
        residual: Tensor = self.head(x)
        return residual.float()


class Ensemble(Generator):
    """Networks of one kind side by side, each with weights of its own: N answers to one z.

    What each makes up differs, what the picture says does not: the mean of the answers errs no more
    than they do on average.

    Source: Lakshminarayanan, Pritzel, Blundell, "Simple and Scalable Predictive Uncertainty
    Estimation using Deep Ensembles", NeurIPS 2017.

    Args:
        members: the networks.
    """

    def __init__(self, members: Sequence[Generator]) -> None:
        super().__init__()
        first = members[0]
        self.inputs, self.latent_scale = first.inputs, first.latent_scale
        self.multiple, self.minimum = first.multiple, first.minimum
        self.members = nn.ModuleList(members)

    def forward(self, z: Tensor) -> Tensor:
        return torch.cat([member(z) for member in self.members])


def initialise(network: Generator, generator: torch.Generator, *, silent: bool = False) -> None:
    """Draw all weights anew from `generator` with PyTorch's default distributions.

    Drawn on the CPU, so that a seed gives the same network on every device. With `silent`, and in
    a `BlindSpot`, the last convolution starts at zero: a residual begins with no change.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            bound = spread(module)
            nn.init.uniform_(module.weight, -bound, bound, generator=generator)
            if module.bias is not None:
                nn.init.uniform_(module.bias, -bound, bound, generator=generator)
    if silent or isinstance(network, BlindSpot):
        nn.init.zeros_(network.head.weight)
        if network.head.bias is not None:
            nn.init.zeros_(network.head.bias)


def spread(layer: nn.Conv2d) -> float:
    """Return the bound of the uniform distribution that a layer's weights are drawn from."""
    return 1 / math.sqrt(layer.weight[0].numel())


def parameter_count(network: nn.Module) -> int:
    """Return how many numbers the fit adjusts."""
    return sum(p.numel() for p in network.parameters())


def draw_latent(
    network: Generator, height: int, width: int, generator: torch.Generator, *, grid: bool = False
) -> Tensor:
    """Return the fixed input z of a fit: 1×inputs×h×w for a padded picture of height×width.

    U(0, 0.1) noise, or with `grid` the two coordinates from 0 to 1 (the paper's "meshgrid", for
    large holes: smooth input makes smooth fillings).
    """
    h, w = height // network.latent_scale, width // network.latent_scale
    if grid:
        y, x = torch.meshgrid(torch.linspace(0, 1, h), torch.linspace(0, 1, w), indexing="ij")
        return torch.stack([x, y])[None]
    return 0.1 * torch.rand(1, network.inputs, h, w, generator=generator)


def fit_latent(network: Generator, picture: Tensor, height: int, width: int) -> Tensor:
    """Return a picture (1×c×h×w) as the input of a network for a padded picture of height×width."""
    below, right = height - picture.shape[2], width - picture.shape[3]
    padded = F.pad(picture, [0, right, 0, below], mode="replicate")
    if network.latent_scale == 1:
        return padded
    return F.avg_pool2d(padded, network.latent_scale)
