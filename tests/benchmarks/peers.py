"""What other programs make of the same input, and how long they take.

`bm3d` is free for non-commercial use only: it is measured where somebody has installed it, and is
no dependency of anything here.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import inputs
import numpy as np
from cases import SIGMA, Case
from inputs import Given
from scoring import Array, eight_bit, read
from skimage.restoration import denoise_nl_means

try:
    import bm3d
except ImportError:
    bm3d = None


@dataclass(frozen=True, slots=True)
class Peer:
    """A program's result on one picture.

    Attributes:
        name: of the program.
        seconds: it took.
        psnr: dB.
    """

    name: str
    seconds: float
    psnr: float


def peers_of(case: Case, given: Given) -> Iterator[Peer]:
    """Run every peer that there is for a case's task."""
    for name, make in _PEERS.get(case.task, {}).items():
        begin = time.perf_counter()
        picture = make(given)
        seconds = time.perf_counter() - begin
        yield Peer(name, seconds, case.scoring.psnr(picture, given.truth))


def _nlm(given: Given) -> Array:
    """Non-local means, told the true noise level."""
    sigma, noisy = SIGMA / 255, read(given.input) / 255
    clean: Any = denoise_nl_means(
        noisy, patch_size=5, patch_distance=6, h=0.8 * sigma, sigma=sigma, channel_axis=-1
    )
    return eight_bit(clean)


def _bm3d(given: Given) -> Array:
    """CBM3D, told the true noise level."""
    return eight_bit(np.asarray(bm3d.bm3d_rgb(read(given.input) / 255, SIGMA / 255)))


_PEERS: dict[str, dict[str, Callable[[Given], Array]]] = {
    "denoise": {"NLM (scikit-image)": _nlm},
    "inpaint": {"biharmonic (scikit-image)": inputs.biharmonic},
    "super-resolution": {"bicubic (Pillow)": inputs.bicubic},
}
if bm3d is not None:
    _PEERS["denoise"]["bm3d"] = _bm3d
