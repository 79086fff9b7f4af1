"""A long call that cannot be interrupted, as of a C library, made so that one need not wait."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator
from concurrent.futures import Future
from typing import TypeVar

Answer = TypeVar("Answer")

PAUSE = 0.1  # seconds between two signs of life


def in_background(call: Callable[[], Answer]) -> Generator[float, None, Answer]:
    """Make a call on a thread of its own.

    Yields:
        0 several times a second; stop iterating to cancel, the call then ends for nobody.

    Returns:
        What the call returned; what it raised is raised here.
    """
    answer: Future[Answer] = Future()

    def make() -> None:
        try:
            answer.set_result(call())
        except BaseException as error:  # raised again where it is awaited
            answer.set_exception(error)

    threading.Thread(target=make, daemon=True, name="background").start()
    while True:
        try:
            return answer.result(timeout=PAUSE)
        except TimeoutError:
            if answer.done():
                raise
            yield 0.0
