"""Reading a video file, frame by frame, through PyAV."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager, suppress
from fractions import Fraction
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from dip_engine import picture
from dip_engine.clips import Frame, spread
from dip_engine.errors import DipError, InputError
from dip_engine.metadata import Metadata
from dip_engine.picture import Picture
from dip_engine.video_colours import Colours, doubled

Array = np.ndarray[Any, np.dtype[Any]]

_RETRY = "See whether a player shows it, or copy it again."
_HALVED = {"yuv420p": 8, "yuvj420p": 8, "yuv420p10le": 10, "yuv420p12le": 12}
_LEADING = 3  # frames that a decoder may drop at the beginning of an undamaged video


def load_av() -> ModuleType:
    """Import PyAV.

    Raises:
        DipError: it is not installed.
    """
    try:
        import av
    except ImportError as error:
        raise DipError(
            f"Videos need PyAV, which cannot be loaded ({error}).",
            "Install it: pip install 'deep-image-prior[video]'. Folders of frames work without.",
        ) from error
    av.logging.set_level(None)  # what matters comes as an exception
    return av


class VideoFile:
    """A video; see `clips.Clip`.

    Attributes:
        time_base: unit of the frames' times, in seconds.
        colours: of the video, also for what is made from it.
        deep: its samples have more than 8 bits.
        aspect: width of a pixel by its height.
        tags: title, date and what else the file says about itself.
        has_sound: there is sound in it.

    Raises:
        InputError: there is no such file, it is damaged, or has no picture.
        DipError: PyAV is not installed.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.problems: list[str] = []
        self._damaged = 0
        with self._opened() as (container, stream):
            self.time_base: Fraction = stream.time_base
            self.rate: Fraction | None = stream.average_rate or stream.guessed_rate
            self.count = _count(container, stream)
            self.tags: dict[str, str] = dict(container.metadata)
            self.has_sound = bool(container.streams.audio)
            self._start, self._duration = stream.start_time or 0, stream.duration
        self.colours = Colours()
        self.deep = False
        self.aspect = Fraction(1)
        self.width = self.height = 0
        with closing(self.frames()) as frames:
            if next(frames, None) is None:
                raise InputError(f"{path} has no frame that can be read.", _RETRY)

    def frames(self) -> Generator[Frame, None, None]:
        self._damaged = number = 0
        with self._opened() as (container, stream):
            for number, frame in enumerate(self._decoded(container, stream), 1):
                yield self._frame(frame, number, stream)
        if self._damaged or number < self.count - _LEADING:
            self.problems.append(
                f"{self.path} is damaged: {number} of its {self.count} frames could be read."
            )

    def samples(self, count: int) -> list[Frame]:
        found: list[Frame] = []
        with self._opened() as (container, stream):
            for place in spread(self.count, count):
                if self._duration is not None and place:
                    with suppress(load_av().error.FFmpegError):  # then it is the next frame
                        time = self._start + self._duration * place // self.count
                        container.seek(time, stream=stream)
                frame = next(self._decoded(container, stream), None)
                if frame is not None:
                    found.append(self._frame(frame, place + 1, stream))
        if not found:  # the file cannot be searched
            with closing(self.frames()) as frames:
                found = [next(frames)]
        return found

    @contextmanager
    def _opened(self) -> Iterator[tuple[Any, Any]]:
        """Open the file, and turn what goes wrong with it into an `InputError` that names it."""
        av = load_av()
        with picture.opened(self.path):
            pass
        try:
            with av.open(str(self.path)) as container:
                pictures = [s for s in container.streams.video if not _is_cover(s)]
                if not pictures:
                    raise InputError(f"{self.path} has no video in it.", "Choose another file.")
                yield container, pictures[0]
        except av.error.FFmpegError as error:
            raise InputError(
                f"{self.path} is damaged or no video ({error.strerror}).", _RETRY
            ) from error

    def _decoded(self, container: Any, stream: Any) -> Iterator[Any]:
        """Yield the frames; what is damaged is counted and left out."""
        failure = load_av().error.FFmpegError
        packets = container.demux(stream)
        while True:
            try:
                packet = next(packets, None)
                frames = [] if packet is None else packet.decode()
            except failure:
                self._damaged += 1
                continue  # where it was the file that failed, there are no further packets
            yield from frames
            if packet is None:
                return

    def _frame(self, frame: Any, number: int, stream: Any) -> Frame:
        if not self.width:
            self._learn(frame, stream)
        turns = _quarter_turns(frame)
        name = f"frame {number} of {self.path}"
        pixels = np.ascontiguousarray(np.rot90(self._pixels(frame), turns))
        if pixels.shape[:2] != (self.height, self.width):
            raise InputError(
                f"{self.path} changes its size from {self.width}×{self.height} to "
                f"{pixels.shape[1]}×{pixels.shape[0]} at frame {number}.",
                "Cut it there and restore the parts.",
            )
        dtype = np.dtype(np.uint16 if self.deep else np.uint8)
        source = Picture(pixels, None, dtype, "PNG", Metadata(), None)
        time = None if frame.pts is None else frame.pts * Fraction(frame.time_base)
        return Frame(source, name, f"frame_{number:06}.png", time)

    def _learn(self, frame: Any, stream: Any) -> None:
        """Note what the first frame tells of all."""
        turned = _quarter_turns(frame) % 2
        self.width, self.height = frame.width, frame.height
        self.aspect = Fraction(stream.sample_aspect_ratio or 1) or Fraction(1)
        if turned:
            self.width, self.height, self.aspect = self.height, self.width, 1 / self.aspect
        if self.width * self.height > picture.MAX_PIXELS:
            raise InputError(
                f"{self.path} has {self.width}×{self.height} pixels, which is too many."
            )
        self.deep = max(component.bits for component in frame.format.components) > 8
        if not frame.format.is_rgb and not frame.format.has_palette:
            self.colours = Colours.of(stream.codec_context)
        if frame.format.name.startswith("yuva"):
            self.problems.append(f"The transparency of {self.path} is not kept.")

    def _pixels(self, frame: Any) -> Array:
        """Return float32 H×W×3, or H×W×1 where the frame is gray."""
        if frame.format.is_rgb or frame.format.has_palette:
            rgb = frame.reformat(format="rgb48le" if self.deep else "rgb24")
            (packed,) = _samples(rgb, 3, deep=self.deep)
            samples = packed.reshape(rgb.height, rgb.width, 3)
            pixels = samples.astype(np.float32) / np.float32(65535 if self.deep else 255)
            gray = bool((samples == samples[:, :, :1]).all())
        else:
            planes, bits = _planes(frame, self.colours, deep=self.deep)
            unit = 2 ** (bits - 8)
            gray = float(np.abs(planes[1:] - 128 * unit).max()) <= unit
            pixels = self.colours.to_rgb(planes, bits)
        return pixels[:, :, :1] if gray else pixels


def _count(container: Any, stream: Any) -> int:
    """Count the frames without decoding them; the number in the header may be a guess."""
    count = 0
    with suppress(load_av().error.FFmpegError):  # then these are all that can be read
        for packet in container.demux(stream):
            count += packet.size > 0 and not packet.is_discard
    return count


def _planes(frame: Any, colours: Colours, *, deep: bool) -> tuple[Array, int]:
    """Return Y, Cb and Cr, all of full size, float32 3×H×W, and the bits of their samples."""
    bits = _HALVED.get(frame.format.name)
    if bits is not None:
        y, *halves = _samples(frame, 1, deep=deep)
        return np.stack([y, *(doubled(half, *y.shape) for half in halves)]), bits
    full = frame.reformat(
        format="yuv444p16le" if deep else "yuv444p",
        interpolation="BICUBIC",
        # The same on both sides: planes are resized, their values left alone.
        src_color_range=colours.range,
        dst_color_range=colours.range,
        src_colorspace="ITU601",
        dst_colorspace="ITU601",
    )
    return np.stack(_samples(full, 1, deep=deep)).astype(np.float32), 16 if deep else 8


def _samples(frame: Any, each: int, *, deep: bool) -> list[Array]:
    """Return the planes of a frame without the padding of their rows.

    Args:
        frame: PyAV's.
        each: samples of a pixel in one plane.
        deep: they have 16 bits, else 8.
    """
    dtype = np.dtype(np.uint16 if deep else np.uint8)
    rows = [np.frombuffer(plane, dtype).reshape(plane.height, -1) for plane in frame.planes]
    return [r[:, : each * p.width] for r, p in zip(rows, frame.planes, strict=True)]


def _quarter_turns(frame: Any) -> int:
    """Return how often a frame must be turned left to stand upright."""
    return round(getattr(frame, "rotation", 0) / 90) % 4


def _is_cover(stream: Any) -> bool:
    return "attached_pic" in str(getattr(stream, "disposition", ""))
