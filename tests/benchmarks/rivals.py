"""What others make of the same input: deconvolution by scikit-image, colours by Levin and others.

They are given every help: pictures are continued beyond their borders first, and where a number
has to be chosen the one that the truth likes best is taken.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scoring import Array, Scoring, eight_bit
from skimage.restoration import richardson_lucy, unsupervised_wiener

from dip_engine.colours import chroma, colour, luminance
from dip_engine.propagation import propagate

RICHARDSON_LUCY_STEPS = (5, 10, 20, 30, 50)


def deconvolved(blurred: Array, kernel: Array, truth: Array) -> dict[str, float]:
    """Return the PSNR of each rival on a blurred picture, uint8 H×W×3."""
    border = kernel.shape[0]
    padded = np.pad(blurred / 255.0, [(border, border)] * 2 + [(0, 0)], mode="reflect")
    planes = [np.ascontiguousarray(padded[..., c]) for c in range(3)]
    lucy = max(
        _score([richardson_lucy(p, kernel, num_iter=n) for p in planes], border, truth)
        for n in RICHARDSON_LUCY_STEPS
    )
    wiener = [unsupervised_wiener(2 * p - 1, kernel, rng=0)[0] / 2 + 0.5 for p in planes]
    return {"Richardson–Lucy": lucy, "unsupervised Wiener": _score(wiener, border, truth)}


def propagated(gray: Array, truth: Array, strokes: Array) -> Array:
    """Return the picture that optimisation makes of true colours under strokes, uint8 H×W×3."""
    light = luminance(gray.astype(np.float32)[..., None] / 255)
    found = propagate(light, chroma(truth.astype(np.float32) / 255), strokes)
    return eight_bit(colour(light, found))


def _score(planes: list[Any], border: int, truth: Array) -> float:
    picture = np.stack(planes, axis=2)[border:-border, border:-border]
    return Scoring().psnr(eight_bit(picture), truth)
