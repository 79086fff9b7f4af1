"""The work of an iteration on the device, launched kernel by kernel or as one CUDA graph.

A fit of a small window is hundreds of kernels of a few microseconds each: on a GPU the host, which
launches them one after the other, is what takes the time. After a few iterations the same work is
recorded once, and from then on launched at once.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from typing import ClassVar

import torch
from torch import Tensor

from dip_engine.views import Look, Shot

Descend = Callable[[Look], tuple[Tensor, Shot]]
"""Does one step of a fit and returns its loss and the answer, both without gradient."""

WARM_UP = 3  # looks of a kind before they are recorded: libraries choose their kernels in them
WORTH = 100  # from so many iterations on a recording pays

_Kind = tuple[bool, torch.Size | None]
_log = logging.getLogger(__name__)


def can_replay(device: torch.device) -> bool:
    """Tell whether work on a device can be recorded; what is deterministic is launched in turn."""
    if device.type != "cuda" or torch.version.cuda is None or not Replayed.works:
        return False
    return not torch.are_deterministic_algorithms_enabled()


class Replayed:
    """A `Descend` that is recorded and replayed; what it returns is overwritten by the next call.

    Args:
        descend: asks nothing of the device and takes no decision but by the kind of its look.
        optimiser: whose step it takes; learning rates are tensors (`Rates`).
        fresh: generator on the device, of its random numbers.
    """

    # A recording that was cut short leaves torch's memory in disorder: the next ones fail, too.
    works: ClassVar[bool] = True

    def __init__(
        self, descend: Descend, optimiser: torch.optim.Optimizer, fresh: torch.Generator
    ) -> None:
        self.descend = descend
        self.optimiser = optimiser
        self.fresh = fresh
        self.stream = _side_stream(fresh.device)
        self.seen: Counter[_Kind] = Counter()
        self.recordings: dict[_Kind, _Recording] = {}

    def __call__(self, look: Look) -> tuple[Tensor, Shot]:
        kind = look.clean, None if look.given is None else look.given.shape
        if kind not in self.recordings and self.seen[kind] >= WARM_UP and Replayed.works:
            self._try_to_record(kind, look)
        if kind in self.recordings:
            return self.recordings[kind](look)
        self.seen[kind] += 1
        with _aside(self.stream):
            return self.descend(look)

    def _try_to_record(self, kind: _Kind, look: Look) -> None:
        """Record a look; where that fails, as for want of memory, launch all from now on."""
        try:
            # What fails would leave the stream of the recording in use.
            with torch.cuda.stream(torch.cuda.current_stream(self.fresh.device)):
                self.recordings[kind] = self._record(look)
        except RuntimeError as error:
            _log.warning("The work of an iteration cannot be recorded: %s", error)
            Replayed.works = False
            self.recordings.clear()
            # Nothing was done while it was recorded; only the generator believes it still is.
            self.fresh.graphsafe_set_state(self.fresh.clone_state())

    def _record(self, look: Look) -> _Recording:
        given = None if look.given is None else look.given.clone().contiguous()
        graph = torch.cuda.CUDAGraph()
        graph.register_generator_state(self.fresh)
        with (
            _capturable(self.optimiser),
            # Other threads may use the device meanwhile.
            torch.cuda.graph(graph, stream=self.stream, capture_error_mode="thread_local"),
        ):
            loss, shot = self.descend(replace(look, given=given))
        return _Recording(graph, given, loss, shot)


class _Recording:
    def __init__(
        self, graph: torch.cuda.CUDAGraph, given: Tensor | None, loss: Tensor, shot: Shot
    ) -> None:
        self.graph, self.given, self.loss, self.shot = graph, given, loss, shot

    def __call__(self, look: Look) -> tuple[Tensor, Shot]:
        if self.given is not None:
            assert look.given is not None
            self.given.copy_(look.given)
        self.graph.replay()
        return self.loss, self.shot


@cache
def _side_stream(device: torch.device) -> torch.cuda.Stream:
    """Return the stream of all recordings on a device: each stream keeps memory of its own."""
    return torch.cuda.Stream(device)  # type: ignore[no-untyped-call]


@contextmanager
def _aside(stream: torch.cuda.Stream) -> Iterator[None]:
    """Work on a stream between what the usual one did before and what it will do."""
    usual = torch.cuda.current_stream(stream.device)
    stream.wait_stream(usual)
    try:
        with torch.cuda.stream(stream):
            yield
    finally:
        usual.wait_stream(stream)


@contextmanager
def _capturable(optimiser: torch.optim.Optimizer) -> Iterator[None]:
    """Let Adam be recorded; it warns of steps that are not, if it may be."""
    groups = [group for group in optimiser.param_groups if "capturable" in group]
    for group in groups:
        group["capturable"] = True
    try:
        yield
    finally:
        for group in groups:
            group["capturable"] = False
