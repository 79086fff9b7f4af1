"""Generators that tell how far they are, and return something at their end."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import Generic, TypeVar

Yielded = TypeVar("Yielded")
Returned = TypeVar("Returned")


class Returning(Generic[Yielded, Returned]):
    """Iterates over a generator once.

    Attributes:
        value: what the generator returned, once the loop has come to its end.
    """

    value: Returned

    def __init__(self, generator: Generator[Yielded, None, Returned]) -> None:
        self.generator = generator

    def __iter__(self) -> Iterator[Yielded]:
        self.value = yield from self.generator


def part_of(
    steps: Generator[float, None, Returned], begin: float, end: float
) -> Generator[float, None, Returned]:
    """Let what tells the fraction of its work that is done, 0–1, be a part of a larger work."""
    inner = Returning(steps)
    for done in inner:
        yield begin + (end - begin) * done
    return inner.value
