"""What is known of a picture, in the form the fit takes it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from dip_engine.operators import identity


@dataclass(frozen=True, slots=True)
class Problem:
    """What is known.

    Attributes:
        observed: y, 1×C×h×w float32.
        known: w, 1×1×h×w or 1×C×h×w, 1 where y was measured and 0 where not.
        height, width: of the picture x.
        operator: A, from 1×C×height×width to the shape of y.
        start: 1×C×height×width classical estimate, shown where the network has not yet answered,
            or None.
    """

    observed: Tensor
    known: Tensor
    height: int
    width: int
    operator: Callable[[Tensor], Tensor] = identity
    start: Tensor | None = None
