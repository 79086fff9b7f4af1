"""Frames survive the pipe, and nothing else passes for one."""

from __future__ import annotations

import contextlib
import io
import json
import os
import struct
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dip_engine.errors import ProtocolError
from dip_engine.job import Settings
from dip_engine.protocol import (
    MAX_HEADER,
    MAX_PAYLOAD,
    PROTOCOL,
    Frame,
    check_hello,
    hello,
    read_frame,
    write_frame,
)

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)
FRAMES = st.builds(Frame, st.dictionaries(st.text(), VALUES, max_size=5), st.binary(max_size=500))


def encode(*frames: Frame) -> bytes:
    stream = io.BytesIO()
    for frame in frames:
        write_frame(stream, frame.header, frame.payload)
    return stream.getvalue()


class Trickle(io.RawIOBase):
    """A pipe that gives one byte and takes at most three at a time."""

    def __init__(self, data: bytes = b"") -> None:
        self.incoming = io.BytesIO(data)
        self.taken = bytearray()

    def read(self, size: int = -1) -> bytes:
        return self.incoming.read(min(size, 1))

    def write(self, data: bytes) -> int:  # type: ignore[override]
        self.taken += bytes(data[:3])
        return min(len(data), 3)


@given(st.lists(FRAMES, max_size=4))
def test_frames_come_back_as_they_went(frames: list[Frame]) -> None:
    stream = io.BytesIO(encode(*frames))
    assert [read_frame(stream) for _ in frames] == frames
    assert read_frame(stream) is None


@given(FRAMES)
def test_short_reads_and_writes_do_no_harm(frame: Frame) -> None:
    sink = Trickle()
    write_frame(sink, frame.header, frame.payload)  # type: ignore[arg-type]
    assert read_frame(Trickle(bytes(sink.taken))) == frame  # type: ignore[arg-type]


def test_a_real_pipe_carries_a_payload_larger_than_itself() -> None:
    frame = Frame({"kind": "preview"}, os.urandom(3 * 2**20 + 1))
    reading, writing = os.pipe()

    def feed() -> None:
        with os.fdopen(writing, "wb", buffering=0) as sink:
            write_frame(sink, frame.header, frame.payload)

    feeder = threading.Thread(target=feed)
    feeder.start()
    with os.fdopen(reading, "rb", buffering=0) as source:
        assert read_frame(source) == frame
        assert read_frame(source) is None
    feeder.join()


@pytest.mark.parametrize("text", ["\ud800", "a\x00b", "Größe 写真 🖼", "\udcff.png"])
def test_any_file_name_survives(text: str) -> None:
    assert read_frame(io.BytesIO(encode(Frame({"input": text})))) == Frame({"input": text})


@pytest.mark.parametrize("payload", [b"", b"pixels"])
def test_a_frame_cut_anywhere_is_an_error(payload: bytes) -> None:
    whole = encode(Frame({"kind": "preview", "width": 2}, payload))
    for size in range(1, len(whole)):
        with pytest.raises(ProtocolError, match="damaged"):
            read_frame(io.BytesIO(whole[:size]))


@given(st.binary(min_size=1, max_size=200))
def test_garbage_is_a_frame_or_a_protocol_error(data: bytes) -> None:
    stream = io.BytesIO(data)
    with contextlib.suppress(ProtocolError):
        while frame := read_frame(stream):
            assert isinstance(frame.header, dict)


@given(st.binary(max_size=100))
def test_a_garbage_header_is_a_protocol_error_or_an_object(text: bytes) -> None:
    stream = io.BytesIO(struct.pack(">II", len(text), 0) + text)
    try:
        frame = read_frame(stream)
    except ProtocolError:
        return
    assert frame is not None
    assert frame.header == json.loads(text.decode())


@pytest.mark.parametrize(
    "text", [b"[]", b"null", b"3", b'"x"', b"{", b"", b"\xff", b"[" * 100_000, b"9" * 10_000]
)
def test_a_header_that_is_no_object_is_an_error(text: bytes) -> None:
    with pytest.raises(ProtocolError, match="header"):
        read_frame(io.BytesIO(struct.pack(">II", len(text), 0) + text))


@pytest.mark.parametrize("sizes", [(MAX_HEADER + 1, 0), (2, MAX_PAYLOAD + 1), (2**32 - 1,) * 2])
def test_sizes_over_the_caps_are_refused_before_reading(sizes: tuple[int, int]) -> None:
    stream = io.BytesIO(struct.pack(">II", *sizes) + b"{}")
    with pytest.raises(ProtocolError, match=str(max(sizes))):
        read_frame(stream)
    assert stream.tell() == 8


def test_too_large_frames_are_not_written() -> None:
    sink = io.BytesIO()
    with pytest.raises(ProtocolError):
        write_frame(sink, {"text": "x" * MAX_HEADER})
    with pytest.raises(ProtocolError):
        write_frame(sink, {}, bytes(MAX_PAYLOAD + 1))
    assert sink.getvalue() == b""


def test_the_largest_preview_fits_into_a_frame() -> None:
    assert Settings(preview_side=16384).preview_side ** 2 * 3 <= MAX_PAYLOAD


def test_hello_of_this_version_is_accepted() -> None:
    check_hello(Frame(hello()))
    assert hello()["pid"] == os.getpid()


@pytest.mark.parametrize("protocol", [PROTOCOL + 1, 0, None, "1"])
def test_hello_of_another_version_is_refused(protocol: object) -> None:
    with pytest.raises(ProtocolError, match=r"9\.9\.9 speaks protocol") as caught:
        check_hello(Frame({**hello(), "engine": "9.9.9", "protocol": protocol}))
    assert "install.sh" in caught.value.hint


def test_another_first_frame_is_refused() -> None:
    with pytest.raises(ProtocolError, match="something else"):
        check_hello(Frame({"kind": "progress"}))
