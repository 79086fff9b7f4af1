"""Deep Image Prior: restore a picture from nothing but itself.

`restore` and what it needs are imported on first use, so that importing the package (from a
command line's ``--help``, or inside GIMP) loads no torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dip_engine.errors import (
    Cancelled,
    DeviceError,
    DeviceLost,
    DipError,
    InputError,
    MaskError,
    OutOfMemory,
    OutputError,
    ProtocolError,
    ResultError,
)
from dip_engine.events import Event, Preview, Progress, Result, Snapshot, Started
from dip_engine.job import Job, Settings

if TYPE_CHECKING:
    from dip_engine.restoration import restore, restore_events

__version__ = "0.1.0"

__all__ = [
    "Cancelled",
    "DeviceError",
    "DeviceLost",
    "DipError",
    "Event",
    "InputError",
    "Job",
    "MaskError",
    "OutOfMemory",
    "OutputError",
    "Preview",
    "Progress",
    "ProtocolError",
    "Result",
    "ResultError",
    "Settings",
    "Snapshot",
    "Started",
    "__version__",
    "restore",
    "restore_events",
]


def __getattr__(name: str) -> Any:
    if name in ("restore", "restore_events"):
        from dip_engine import restoration

        return getattr(restoration, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
