"""Frames over a pipe: how the engine process and its caller talk.

A frame is two big-endian 32-bit lengths, a JSON object (the header) and raw bytes (the payload,
e.g. the pixels of a preview). Standard library only: GIMP's own Python speaks it too.

    engine → caller   ``hello`` (always first), ``started``, ``progress``, ``preview``,
                      ``snapshot``, ``result`` or ``failed`` (always last)
    caller → engine   ``job``, ``stop`` (finish now, keep the best so far), ``cancel``

All but ``hello`` carry the ``id`` of their job, so that a late ``cancel`` cannot hit the next one.
"""

from __future__ import annotations

import json
import os
import struct
from dataclasses import dataclass
from typing import IO, Any

from dip_engine import __version__
from dip_engine.errors import ProtocolError

PROTOCOL = 3
MAX_HEADER = 2**20
MAX_PAYLOAD = 2**30  # holds the largest preview, 16384×16384 of 8-bit RGB

_LENGTHS = struct.Struct(">II")
_CHUNK = 2**20


@dataclass(frozen=True, slots=True)
class Frame:
    """One message: a JSON object and raw bytes."""

    header: dict[str, Any]
    payload: bytes = b""


def read_frame(stream: IO[bytes]) -> Frame | None:
    """Read one frame, or None where the stream ends between two frames.

    Raises:
        ProtocolError: the frame is cut short, too large, or its header is no JSON object.
        OSError: the stream itself failed.
    """
    lengths = _read(stream, _LENGTHS.size)
    if not lengths:
        return None
    header_size, payload_size = _LENGTHS.unpack(_whole(lengths, _LENGTHS.size))
    _check_sizes(header_size, payload_size)
    header = _whole(_read(stream, header_size), header_size)
    payload = _whole(_read(stream, payload_size), payload_size)
    return Frame(_parse_header(header), payload)


def write_frame(stream: IO[bytes], header: dict[str, Any], payload: bytes = b"") -> None:
    """Write one frame and flush it.

    Raises:
        ProtocolError: header or payload is too large; nothing was written.
        OSError: the stream itself failed, e.g. because nobody reads it any more.
    """
    text = json.dumps(header).encode("ascii")
    _check_sizes(len(text), len(payload))
    rest = memoryview(_LENGTHS.pack(len(text), len(payload)) + text + payload)
    while rest:  # an unbuffered pipe may take less than it was given
        rest = rest[stream.write(rest) :]
    stream.flush()


def hello() -> dict[str, Any]:
    """Return the header of the engine's first frame."""
    return {"kind": "hello", "protocol": PROTOCOL, "engine": __version__, "pid": os.getpid()}


def check_hello(frame: Frame) -> None:
    """Check the engine's first frame.

    Raises:
        ProtocolError: it is no hello, or speaks of another version of the protocol.
    """
    if frame.header.get("kind") != "hello":
        raise ProtocolError(
            "The program that was started as the engine is something else.",
            "Check the command of the engine.",
        )
    theirs = frame.header.get("protocol")
    if theirs != PROTOCOL:
        raise ProtocolError(
            f"Engine {frame.header.get('engine')} speaks protocol {theirs}, "
            f"but version {__version__} needs protocol {PROTOCOL}.",
            "Install the engine and its callers from the same release: run install.sh again.",
        )


def _read(stream: IO[bytes], size: int) -> bytes:
    """Read up to ``size`` bytes, less only at the end of the stream."""
    parts = []
    while size > 0 and (part := stream.read(min(size, _CHUNK))):
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def _whole(data: bytes, size: int) -> bytes:
    if len(data) < size:
        raise _damaged(f"it ends after {len(data)} of {size} bytes")
    return data


def _check_sizes(header_size: int, payload_size: int) -> None:
    if header_size > MAX_HEADER or payload_size > MAX_PAYLOAD:
        raise _damaged(f"its sizes are {header_size} and {payload_size} bytes")


def _parse_header(text: bytes) -> dict[str, Any]:
    try:
        header = json.loads(text.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise _damaged("its header is no JSON") from error
    if not isinstance(header, dict):
        raise _damaged("its header is no JSON object")
    return header


def _damaged(how: str) -> ProtocolError:
    return ProtocolError(
        f"A message between the engine and its caller is damaged: {how}.",
        "Look into the engine's log, and check the command of the engine.",
    )
