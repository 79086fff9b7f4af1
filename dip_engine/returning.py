"""A generator in a for loop that keeps what it returns at its end."""

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
