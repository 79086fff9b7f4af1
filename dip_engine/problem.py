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
        tolerance: shape of y; a difference A(x) − y within ± this tells nothing, as of a JPEG
            coefficient that was rounded. None for an exact measurement.
        emphasis: filter for the difference A(x) − y, of its shape, before it is squared; or None.
        latent: 1×c×height×width picture that the network is shown instead of noise, or None.
        start: 1×C×height×width classical estimate, shown where the network has not yet answered,
            or None.
        echo: shape of y; the mean of its product with a picture is the covariance of that picture
            with the noise of y. Known where a probe was added to y, else None.
        noise_std: standard deviation of the noise in y, for pretraining, which takes it for white;
            None where there is to be none.
    """

    observed: Tensor
    known: Tensor
    height: int
    width: int
    operator: Callable[[Tensor], Tensor] = identity
    tolerance: Tensor | None = None
    emphasis: Callable[[Tensor], Tensor] | None = None
    latent: Tensor | None = None
    start: Tensor | None = None
    echo: Tensor | None = None
    noise_std: float | None = None

    @property
    def channels(self) -> int:
        """Channels of the picture."""
        return int((self.observed if self.start is None else self.start).shape[1])
