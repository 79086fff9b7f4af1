"""A long call that cannot be interrupted, as of a C library, made so that one need not wait."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Generator
from concurrent import futures
from typing import Any, TypeVar

Answer = TypeVar("Answer")

PAUSE = 0.1  # seconds between two signs of life

_given_up: set[futures.Future[Any]] = set()  # calls that nobody waits for, and that still go on


def in_background(call: Callable[[], Answer]) -> Generator[float, None, Answer]:
    """Make a call on a thread of its own, once those that were given up have ended.

    Yields:
        0 several times a second; stop iterating to cancel. The call then goes on for nobody, and
        the process does not end before it.

    Returns:
        What the call returned; what it raised is raised here.
    """
    yield from _until_done(_given_up.copy())  # each may need much memory
    answer: futures.Future[Answer] = futures.Future()

    def make() -> None:
        try:
            answer.set_result(call())
        except BaseException as error:  # raised again where it is awaited
            answer.set_exception(error)

    threading.Thread(target=make, name="background").start()
    try:
        yield from _until_done([answer])
    finally:
        if not answer.done():
            _given_up.add(answer)
            answer.add_done_callback(_given_up.discard)
    return answer.result()


def _until_done(answers: Collection[futures.Future[Any]]) -> Generator[float, None, None]:
    while futures.wait(answers, PAUSE).not_done:
        yield 0.0
