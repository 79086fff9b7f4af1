"""What an iteration costs, counted, beside what the machine can do, measured.

FLOPs are those of convolutions and matrix products, as PyTorch's own counter has them (Fourier
transforms are not among them). Bytes are all tensors that go into and come out of each operation
that touches memory: what a cache spares is not taken off.

Source: Williams, Waterman, Patterson, "Roofline: an insightful visual performance model for
multicore architectures", CACM 2009.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

REPEATS = 5
CHANNELS, SIDE = 128, 256
COPIED = 2**28  # bytes


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one iteration.

    Attributes:
        flops: floating-point operations.
        bytes: read and written.
    """

    flops: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Machine:
    """What a device reached at its best.

    Attributes:
        flops: per second, in a large convolution.
        bytes: per second, in a large copy.
    """

    flops: float
    bytes: float

    def bound(self, cost: Cost) -> float:
        """Return the seconds that arithmetic, or memory without a cache, would take at best."""
        return max(cost.flops / self.flops, cost.bytes / self.bytes)


class _Traffic(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.bytes = 0

    def __torch_dispatch__(
        self,
        func: Any,
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        read, written = _tensors((args, kwargs)), _tensors(result)
        places = {tensor.untyped_storage().data_ptr() for tensor in read}
        is_view = any(tensor.untyped_storage().data_ptr() in places for tensor in written)
        touches = func._schema.is_mutable or not is_view
        if touches and "empty" not in func.__name__:
            self.bytes += sum(tensor.numel() * tensor.element_size() for tensor in read + written)
        return result


def cost_of(step: Callable[[], object]) -> Cost:
    """Count one iteration, which may have a backward pass."""
    traffic, flops = _Traffic(), FlopCounterMode(display=False)
    with flops, traffic:
        step()
    return Cost(flops.get_total_flops(), traffic.bytes)


def measure_machine(device: torch.device, dtype: torch.dtype) -> Machine:
    """Measure the peaks of a device for a number format, with the threads that are set."""
    x = torch.rand(1, CHANNELS, SIDE, SIDE, device=device).to(dtype)
    x = x.contiguous(memory_format=torch.channels_last)
    weight = torch.rand(CHANNELS, CHANNELS, 3, 3, device=device).to(dtype)
    weight = weight.contiguous(memory_format=torch.channels_last)
    flops = 2 * 9 * CHANNELS**2 * SIDE**2
    source = torch.zeros(COPIED, dtype=torch.uint8, device=device)
    target = torch.ones_like(source)
    with torch.no_grad():
        convolution = _fastest(lambda: F.conv2d(x, weight, padding=1), device)
        copy = _fastest(lambda: target.copy_(source), device)
    return Machine(flops / convolution, 2 * COPIED / copy)


def _fastest(work: Callable[[], object], device: torch.device) -> float:
    seconds = []
    for _ in range(REPEATS + 1):
        begin = time.perf_counter()
        work()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        seconds.append(time.perf_counter() - begin)
    return min(seconds[1:])


def _tensors(tree: object) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(tree) if isinstance(leaf, Tensor)]
