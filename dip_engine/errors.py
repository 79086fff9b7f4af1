"""Every way the engine can fail, as one small tree.

    DipError
    ├── InputError          a picture, an option or a file that cannot be used
    │   └── MaskError       a mask that does not fit its picture
    ├── DeviceError         no device, or one that cannot do what was asked
    │   ├── OutOfMemory     the picture does not fit into the device's memory
    │   └── DeviceLost      the device vanished in the middle of a fit
    ├── ProtocolError       the engine process said nothing sensible, or died
    ├── OutputError         the result could not be written
    ├── ResultError         the fit ended in something that is not a picture
    └── Cancelled           somebody asked to stop and to keep nothing

Each error is one sentence for a person, with the name of the file it is about, and a hint that
says what to do next. Errors cross the pipe between engine and caller as plain dictionaries.
"""

from __future__ import annotations

from typing import Any


class DipError(Exception):
    """Base of all errors of this program.

    Args:
        sentence: what is wrong, naming the file, ending in a full stop.
        hint: what the reader can do about it, or an empty string.
    """

    exit_code = 1

    def __init__(self, sentence: str, hint: str = "") -> None:
        super().__init__(sentence)
        self.sentence = sentence
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.sentence} {self.hint}".rstrip()

    def to_dict(self) -> dict[str, Any]:
        """Return the error as JSON-ready values: class name, sentence and hint."""
        return {"error": type(self).__name__, "sentence": self.sentence, "hint": self.hint}

    @staticmethod
    def from_dict(data: dict[str, Any]) -> DipError:
        """Rebuild an error that came over the pipe; an unknown class becomes a DipError."""
        kind = _BY_NAME.get(str(data.get("error", "")), DipError)
        return kind(str(data.get("sentence", "Unknown error.")), str(data.get("hint", "")))


class InputError(DipError):
    """A picture, option or file cannot be used."""


class MaskError(InputError):
    """A mask is missing, of another size, or marks nothing (or everything)."""


class DeviceError(DipError):
    """The environment is at fault: no such device, or no engine."""

    exit_code = 3


class OutOfMemory(DeviceError):
    """The device's memory is too small for this picture and preset."""

    exit_code = 1


class DeviceLost(DeviceError):
    """The device failed while it was at work."""


class ProtocolError(DipError):
    """The engine process could not be started, died, or broke the protocol."""

    exit_code = 3


class OutputError(DipError):
    """The result could not be written whole; nothing was left in its place."""


class ResultError(DipError):
    """The fit ended in values that are not finite, or in a flat picture."""


class Cancelled(DipError):
    """The caller cancelled the job; nothing was written."""

    exit_code = 130


_BY_NAME: dict[str, type[DipError]] = {
    kind.__name__: kind
    for kind in (
        DipError,
        InputError,
        MaskError,
        DeviceError,
        OutOfMemory,
        DeviceLost,
        ProtocolError,
        OutputError,
        ResultError,
        Cancelled,
    )
}
