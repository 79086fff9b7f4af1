"""Writing a video file through PyAV: frames are encoded, sound and subtitles are copied."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from typing import Any, Self

import numpy as np

from dip_engine import files
from dip_engine.clips import Clip, Frame
from dip_engine.errors import OutputError
from dip_engine.temporary import sweep, temporary_name
from dip_engine.video_colours import Colours, halved
from dip_engine.video_file import VideoFile, load_av

Array = np.ndarray[Any, np.dtype[Any]]

FORMATS: dict[str, str] = {
    ".mp4": "mp4",
    ".m4v": "mp4",
    ".mov": "mov",
    ".mkv": "matroska",
    ".webm": "webm",
    ".avi": "avi",
}
"""Suffixes of the videos that can be written, with FFmpeg's names of their formats."""

DEFAULT_RATE = 25  # frames per second where nothing tells
_OWN_TAGS = ("encoder", "major_brand", "minor_version", "compatible_brands")


class VideoOutput:
    """A video under way: frames go in, the sound of the source is put between them.

    Each frame keeps its time. See `clip_output.ClipOutput`.

    Args:
        path: the file to write; its suffix is one of `FORMATS`.
        source: whose rate, sound, colours and metadata are kept.
        size: width and height of a frame in pixels.
        threads: of the encoder, 0 for as many as it likes.

    Raises:
        OutputError: it cannot be written there.
        DipError: PyAV is not installed.
    """

    def __init__(self, path: Path, source: Clip, size: tuple[int, int], *, threads: int) -> None:
        self.path = path
        self.warnings: list[str] = []
        self._source = source
        self._video = source if isinstance(source, VideoFile) else None
        self._colours = Colours() if self._video is None else self._video.colours
        self._kind = FORMATS[path.suffix.lower()]
        self._written = 0
        self._last = -1
        self._lost_alpha = False
        self._av = load_av()
        files.check_place(path)
        sweep(path)
        self._temporary = temporary_name(path)
        self._file: Any = None
        self._copies: _Copies | None = None
        self._warn_about_the_frames(size)
        try:
            try:
                self._begin(size, threads)
            except (self._av.error.FFmpegError, ValueError):
                if self._copies is None:
                    raise
                self._remove()  # some formats take a kind of sound and then refuse to begin
                self.warnings.append(f"{path} cannot hold the sound of {source.path}.")
                self._begin(size, threads, silent=True)
        except (self._av.error.FFmpegError, OSError, ValueError) as error:
            self._remove()
            raise self._failure(error) from error

    def _begin(self, size: tuple[int, int], threads: int, *, silent: bool = False) -> None:
        self._copies = None
        self._file = self._av.open(str(self._temporary), "w", format=self._kind)
        self._stream = self._add_stream(size, threads)
        if self._video is not None:
            self._file.metadata.update(_tags(self._video.tags))
        if self._video is not None and not silent:
            self._copies = _Copies(self._video, self._file, self.path)
        self._file.start_encoding()
        if self._copies is not None:
            self.warnings += self._copies.warnings

    def _warn_about_the_frames(self, size: tuple[int, int]) -> None:
        if self._source.rate is None:
            self.warnings.append(
                f"{self._source.path} tells no frame rate: {self.path} shows {DEFAULT_RATE} a "
                "second."
            )
        if self._needs_full_colour(size):
            self.warnings.append(
                f"{size[0]}×{size[1]} is an odd size: {self.path} has colour at full resolution "
                "(4:4:4), which some players cannot show."
            )

    def _needs_full_colour(self, size: tuple[int, int]) -> bool:
        """Tell whether halved colour planes would need an even size, as in H.264."""
        return self._kind != "webm" and bool(size[0] % 2 or size[1] % 2)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._remove()

    def write(self, frame: Frame, pixels: Array, alpha: Array | None) -> None:
        if alpha is not None and not self._lost_alpha:
            self._lost_alpha = True
            self.warnings.append(f"{self.path} cannot hold the transparency of {frame.name}.")
        encoded = self._encodable(pixels)
        time = self._written if self._is_steady or frame.time is None else frame.time / self._unit
        encoded.pts = self._last = max(self._last + 1, round(time))
        encoded.time_base = self._unit
        self._written += 1
        self._encode(encoded)

    def finish(self) -> None:
        self._encode(None)
        try:
            if self._copies is not None:
                self._file.mux(list(self._copies.until(None)))
            self._file.close()
            with self._temporary.open("r+b") as file:  # Windows syncs only what may be written
                os.fsync(file.fileno())
            self._temporary.replace(self.path)
        except (self._av.error.FFmpegError, OSError) as error:
            raise self._failure(error) from error
        files.sync_folder(self.path.parent)

    @property
    def _is_steady(self) -> bool:
        """True where every frame is shown equally long; AVI has no other."""
        return self._video is None or self._kind == "avi"

    def _add_stream(self, size: tuple[int, int], threads: int) -> Any:
        name = "libvpx-vp9" if self._kind == "webm" else "libx264"
        if name not in self._av.codecs_available:
            raise ValueError(f"this PyAV has no encoder {name}")
        rate = self._source.rate or Fraction(DEFAULT_RATE)
        self._unit = 1 / rate if self._video is None or self._is_steady else self._video.time_base
        stream = self._file.add_stream(name, rate=rate, options=self._options(name))
        context = stream.codec_context
        context.width, context.height = size
        deep = self._video is not None and self._video.deep
        halved = "yuv444p" if self._needs_full_colour(size) else "yuv420p"
        context.pix_fmt = halved + ("10le" if deep else "")
        context.time_base = stream.time_base = self._unit
        context.thread_count = threads
        self._colours.tell(context)
        if self._video is not None:
            context.sample_aspect_ratio = self._video.aspect
        return stream

    def _options(self, codec: str) -> dict[str, str]:
        if codec == "libvpx-vp9":
            return {"crf": "16", "b": "0", "row-mt": "1"}
        options = {"crf": "14", "preset": "medium"}
        return options | {"bf": "0"} if self._kind == "avi" else options

    def _encodable(self, pixels: Array) -> Any:
        """Return a frame in the pixel format of the stream."""
        name = self._stream.codec_context.pix_fmt
        bits = 10 if name.endswith("10le") else 8
        dtype = np.dtype(np.uint8 if bits == 8 else np.uint16)
        planes = list(self._colours.from_rgb(pixels, bits))
        if name.startswith("yuv420p"):
            planes[1:] = [halved(plane) for plane in planes[1:]]
        frame = self._av.VideoFrame(pixels.shape[1], pixels.shape[0], name)
        for plane, values in zip(frame.planes, planes, strict=True):
            rows = np.zeros((plane.height, plane.line_size // dtype.itemsize), dtype)
            rows[:, : values.shape[1]] = np.rint(np.clip(values, 0, 2**bits - 1))
            plane.update(rows)
        return frame

    def _encode(self, frame: Any) -> None:
        try:
            for packet in self._stream.encode(frame):
                if self._copies is not None and packet.dts is not None:
                    time = packet.dts * Fraction(packet.time_base)
                    self._file.mux(list(self._copies.until(time)))
                self._file.mux(packet)
        except (self._av.error.FFmpegError, OSError) as error:
            raise self._failure(error) from error

    def _failure(self, error: Exception) -> OutputError:
        if isinstance(error, OSError):
            return files.unwritable(self.path, error)
        reason = getattr(error, "strerror", None) or str(error)
        return OutputError(f"{self.path} cannot be written ({reason}).", "Try .mkv or .mp4.")

    def _remove(self) -> None:
        """Close everything, and delete what has not become the result."""
        for thing in (self._copies, self._file):
            if thing is not None:
                with suppress(Exception):  # half a file may not like to be closed
                    thing.close()
        with suppress(OSError):
            self._temporary.unlink()


class _Copies:
    """Sound and subtitles of a video, packet by packet as they are.

    Args:
        video: where they come from.
        output: PyAV's container they go to; gets a stream for each.
        path: of that, for messages.
    """

    def __init__(self, video: VideoFile, output: Any, path: Path) -> None:
        av = load_av()
        self._failure = av.error.FFmpegError
        self.warnings: list[str] = []
        self._file = av.open(str(video.path))
        self._streams: dict[int, Any] = {}
        for stream in self._file.streams:
            if stream.type not in ("audio", "subtitle"):
                continue
            name = _codec_name(stream)
            if name not in output.supported_codecs:
                what = "sound" if stream.type == "audio" else "subtitles"
                self.warnings.append(f"{path} cannot hold {what} of the kind {name}.")
                continue
            copy = output.add_stream_from_template(stream)
            copy.metadata.update(_tags(stream.metadata))
            self._streams[stream.index] = copy
        chosen = [self._file.streams[index] for index in self._streams]
        self._packets = self._file.demux(chosen) if chosen else iter(())
        self._next = self._read()

    def until(self, time: Fraction | None) -> Iterator[Any]:
        """Yield the packets up to a time in seconds, or all that are left."""
        while self._next is not None:
            packet = self._next
            if time is not None and packet.dts * Fraction(packet.time_base) > time:
                return
            self._next = self._read()
            packet.stream = self._streams[packet.stream.index]
            yield packet

    def close(self) -> None:
        """Close the source."""
        self._file.close()

    def _read(self) -> Any:
        with suppress(self._failure):  # a damaged end; the pictures tell of it
            return next((packet for packet in self._packets if packet.dts is not None), None)
        return None


def _codec_name(stream: Any) -> str:
    codec = stream.codec_context.codec if stream.codec_context is not None else None
    return str(getattr(codec, "canonical_name", None) or getattr(codec, "name", "unknown"))


def _tags(tags: dict[str, str]) -> dict[str, str]:
    """Return the metadata without what the writer says of itself."""
    return {key: value for key, value in tags.items() if key.lower() not in _OWN_TAGS}
