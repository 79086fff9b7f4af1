"""Clips for the tests: scenes that move, written as videos or as folders of pictures."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from PIL import Image
from scipy import ndimage
from skimage import data

_EXACT = 0x4 | 0x2000 | 0x4000 | 0x40000  # bicubic, full chroma in and out, accurate rounding


def pan(count: int, side: int = 48, step: tuple[float, float] = (0.5, 1.5)) -> np.ndarray:
    """A camera that moves over a photo: count×side×side×3, 0–1, the motion in pixels a frame."""
    photo = data.astronaut()[30:330, 130:430].astype(np.float64) / 255
    rows, columns = np.mgrid[0:side, 0:side].astype(np.float64)
    frames = []
    for number in range(count):
        places = [rows + 20 + number * step[0], columns + 20 + number * step[1]]
        soft = [ndimage.map_coordinates(photo[:, :, c], places, order=3) for c in range(3)]
        frames.append(np.clip(np.stack(soft, 2), 0, 1))
    return np.stack(frames)


def with_noise(clip: np.ndarray, sigma: float = 25) -> np.ndarray:
    """The clip with white noise, as 8-bit values hold it."""
    noise = np.random.default_rng(0).normal(0, sigma / 255, clip.shape)
    return np.rint(np.clip(clip + noise, 0, 1) * 255) / 255


def psnr(clip: np.ndarray, truth: np.ndarray) -> list[float]:
    """Decibels of each frame."""
    return [float(-10 * np.log10(np.mean((a - b) ** 2))) for a, b in zip(clip, truth, strict=True)]


def flicker(clip: np.ndarray, truth: np.ndarray) -> float:
    """Mean change of the error from frame to frame, in 8-bit levels."""
    return float(np.abs(np.diff(clip - truth, axis=0)).mean() * 255)


def save_frames(folder: Path, clip: np.ndarray, suffix: str = ".png") -> Path:
    """Write a folder of pictures: 1.png, 2.png … 10.png."""
    folder.mkdir()
    for number, frame in enumerate(clip, 1):
        pixels = np.rint(frame * 255).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}{suffix}")
    return folder


def load_frames(folder: Path) -> np.ndarray:
    """Read a folder of pictures back, 0–1."""
    files = sorted(folder.iterdir(), key=lambda file: int("".join(filter(str.isdigit, file.stem))))
    frames = []
    for file in files:
        with Image.open(file) as image:
            frames.append(np.asarray(image, np.float64) / 255)
    return np.stack(frames)


def save_video(
    path: Path,
    clip: np.ndarray,
    *,
    rate: Fraction | int = 25,
    times: list[int] | None = None,
    codec: str = "libx264rgb",
    pixel_format: str = "rgb24",
    options: dict[str, str] | None = None,
    sound: str | None = None,
    rotation: int = 0,
) -> Path:
    """Encode a clip, without loss unless `codec` and `options` say otherwise.

    Args:
        times: of the frames, in thousandths of a second, or None for equal distances.
        sound: codec of a sine that lasts as long, or None.
        rotation: degrees to the left that a player is to turn it.
    """
    with av.open(str(path), "w") as file:
        stream = file.add_stream(codec, rate=rate, options=options or {"crf": "0"})
        stream.height, stream.width = clip.shape[1:3]
        stream.pix_fmt = pixel_format
        if times is not None:
            stream.codec_context.time_base = stream.time_base = Fraction(1, 1000)
        if rotation:
            stream.set_display_rotation(rotation)
        audio = file.add_stream(sound, rate=48000) if sound else None
        for number, frame in enumerate(clip):
            pixels = np.rint(frame * 255).astype(np.uint8)
            video = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            if times is not None:
                video.pts, video.time_base = times[number], Fraction(1, 1000)
            file.mux(stream.encode(video))
        if audio is not None:
            _add_sine(file, audio, len(clip) / rate)
        file.mux(stream.encode(None))
    return path


def _add_sine(file: av.container.OutputContainer, stream: av.AudioStream, seconds: float) -> None:
    size = stream.frame_size or 1024
    wave = np.sin(np.arange(int(48000 * seconds)) * 2 * np.pi * 440 / 48000).astype(np.float32)
    resampler = av.AudioResampler(format=stream.format, layout=stream.layout, rate=48000)
    for start in range(0, len(wave) - size, size):
        frame = av.AudioFrame.from_ndarray(wave[None, start : start + size], "fltp", "mono")
        frame.sample_rate, frame.pts = 48000, start
        for ready in resampler.resample(frame):
            file.mux(stream.encode(ready))
    file.mux(stream.encode(None))


def packets(path: Path, kind: str) -> list[bytes]:
    """The encoded packets of the first stream of a kind."""
    with av.open(str(path)) as file:
        stream = getattr(file.streams, kind)[0]
        return [bytes(packet) for packet in file.demux(stream) if packet.size]


def load_video(path: Path) -> tuple[np.ndarray, list[Fraction]]:
    """Decode a video with PyAV alone: frames 0–1 and their times in seconds."""
    with av.open(str(path)) as file:
        frames = list(file.decode(video=0))
        times = [frame.pts * Fraction(frame.time_base) for frame in frames]
        rgb = [frame.to_ndarray(format="rgb24", interpolation=_EXACT) for frame in frames]
        return np.stack(rgb) / 255, times
