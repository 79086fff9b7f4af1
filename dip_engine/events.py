"""What the engine answers while it does a job: frozen, JSON in and out. Standard library only."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from dip_engine.errors import InputError


@dataclass(frozen=True, slots=True)
class Started:
    """The picture was read and the work begins.

    Attributes:
        width, height: pixels of the result.
        tiles: number of tiles the picture is worked in.
        network, device, dtype: what does the work.
        noise_std: estimated or given noise level (0–1), or None where it does not apply.
    """

    width: int
    height: int
    tiles: int
    network: str
    device: str
    dtype: str
    noise_std: float | None = None


@dataclass(frozen=True, slots=True)
class Progress:
    """A sign of life, at least twice a second where an iteration is shorter than that.

    Attributes:
        stage: ``start`` (classical estimate) or ``fit``.
        fraction: 0–1 of the whole job, never falling.
        iteration, iterations: of the fit of this tile; 0 while there is none.
        loss: mean squared error of the fit on its data, or None.
        psnr: dB; to values of the input that were held out where there are any, else to all of
            the input; or None. On a noisy input it cannot exceed the noise's own level.
        seconds: since the job began.
        remaining: estimated seconds left, or None.
        tile, tiles: which tile is in work, from 0.
    """

    stage: str
    fraction: float
    iteration: int
    iterations: int
    loss: float | None
    psnr: float | None
    seconds: float
    remaining: float | None
    tile: int = 0
    tiles: int = 1


@dataclass(frozen=True, slots=True)
class Preview:
    """A small picture of what there is now: 8-bit RGB, row by row, no padding."""

    iteration: int
    width: int
    height: int
    pixels: bytes = b""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What the result would be at a point of the fit, written to the folder of the job.

    It comes again when other tiles have changed it.

    Attributes:
        index: 0 for the classical start, then 1, 2, … along the fit.
        iteration: of the fit, 0 for the start.
        path: ``.npy``, float32 H×W or H×W×C, complete; as the output would be as such a file.
        psnr: see `Progress`.
        width, height: of `pixels`.
        pixels: a preview of it, see `Preview`.
        loss: see `Progress`.
    """

    index: int
    iteration: int
    path: str
    psnr: float | None
    width: int
    height: int
    pixels: bytes = b""
    loss: float | None = None


@dataclass(frozen=True, slots=True)
class Result:
    """What was done; the picture itself is in ``output``.

    Attributes:
        output: the file that was written.
        stop_reason: one phrase, e.g. ``held-out error stopped falling``.
        iterations: iterations that were run (mean over tiles).
        snapshot: iteration the result was taken from (mean over tiles).
        psnr: of the result to held-out values of the input in dB, or None.
        noise_std: estimated or given noise level (0–1), or None.
        noise_kind: ``white`` or ``correlated``, or None.
        seconds: from reading to writing.
        versions: of the engine, torch and Python.
        warnings: sentences the user should see.
        parameters: how many numbers the fit adjusted (of one tile); 0 where there was no fit.
    """

    output: str
    task: str
    preset: str
    network: str
    seed: int
    device: str
    dtype: str
    width: int
    height: int
    tiles: int
    stop_reason: str
    iterations: int
    snapshot: int
    psnr: float | None
    noise_std: float | None
    noise_kind: str | None
    seconds: float
    versions: dict[str, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    parameters: int = 0


Event = Started | Progress | Preview | Snapshot | Result


def event_to_json(event: Event) -> tuple[dict[str, Any], bytes]:
    """Split an event into JSON-ready values (with its ``kind``) and its payload."""
    data = asdict(event)
    payload = data.pop("pixels", b"")
    return {"kind": type(event).__name__.lower(), **data}, payload


def event_from_json(data: dict[str, Any], payload: bytes = b"") -> Event:
    """Rebuild an event; the reverse of `event_to_json`.

    Raises:
        InputError: an unknown kind, or fields that do not fit it.
    """
    values = dict(data)
    name = values.pop("kind", None)
    kinds: dict[str, type[Event]] = {
        "started": Started,
        "progress": Progress,
        "preview": Preview,
        "snapshot": Snapshot,
        "result": Result,
    }
    kind = kinds.get(str(name))
    if kind is None:
        raise InputError(f"Unknown event {name!r}.")
    if kind in (Preview, Snapshot):
        values["pixels"] = payload
    if kind is Result:
        values["warnings"] = tuple(values.get("warnings", ()))
    try:
        return kind(**values)
    except TypeError as error:
        raise InputError(f"Event {name!r} cannot be read: {error}.") from error
