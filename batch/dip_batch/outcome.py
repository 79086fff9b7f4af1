"""What became of one picture."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from dip_batch.plan import Item
from dip_engine.errors import DipError
from dip_engine.events import Result

STATUSES = ("done", "skipped", "failed", "left")
ALREADY_DONE = "already done"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one picture.

    Attributes:
        item: the picture.
        status: one of `STATUSES`; ``left`` is what a run that ended early did not get to.
        reason: why it was skipped or left, or what went wrong; one phrase or sentence.
        hint: what to do about a failure.
        result: JSON values of the engine's `Result`, of this run or of the earlier one that
            made the output; None where there is none.
    """

    item: Item
    status: str
    reason: str = ""
    hint: str = ""
    result: dict[str, Any] | None = None

    @classmethod
    def done(cls, item: Item, result: Result) -> Outcome:
        """Return the outcome of a picture that was restored."""
        return cls(item, "done", result=asdict(result))

    @classmethod
    def failed(cls, item: Item, error: DipError) -> Outcome:
        """Return the outcome of a picture that could not be restored."""
        return cls(item, "failed", error.sentence, error.hint)
