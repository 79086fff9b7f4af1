"""A rough guess of how long pictures take and how much memory they need.

A picture takes a fixed time and a time per pixel of the result; memory grows with the pixels up
to the size of a tile. Nothing is measured on this machine.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from dip_batch.walk import is_video
from dip_engine.clips import open_clip
from dip_engine.job import Settings
from dip_engine.picture import estimate_size

# Seconds a picture, and seconds per megapixel of the result, by task and preset, on two CPU cores
# without bfloat16 units: some measured, the others reckoned from their iterations.
CPU_SECONDS: dict[str, dict[str, tuple[float, float]]] = {
    "denoise": {
        "fast": (8, 35),
        "balanced": (40, 65),
        "best": (200, 800),
        "paper": (5, 51_000),
    },
    "inpaint": {
        "fast": (5, 900),
        "balanced": (5, 1800),
        "best": (5, 4300),
        "paper": (5, 100_000),
    },
    "super-resolution": {
        "fast": (5, 600),
        "balanced": (5, 1600),
        "best": (5, 3000),
        "paper": (5, 34_000),
    },
    "jpeg": {"fast": (5, 65), "balanced": (5, 95), "best": (5, 220), "paper": (5, 5000)},
    "deblur": {
        "fast": (10, 500),
        "balanced": (20, 1400),
        "best": (40, 5000),
        "paper": (60, 85_000),
    },
    "colourise": {
        "fast": (5, 150),
        "balanced": (10, 300),
        "best": (20, 600),
        "paper": (60, 34_000),
    },
    "flash": {"fast": (5, 500), "balanced": (5, 1800), "best": (5, 5000), "paper": (5, 10_000)},
}
# How many times longer the fit of denoising takes when it stands alone.
ALONE = 5.0
# How many times faster a GPU of the last years is than two CPU cores.
GPU_SPEED = 40.0
# More cores than this no longer help.
USEFUL_CORES = 8

# How long a frame of a clip takes, compared with the same frame on its own: its fit goes on from
# that of the frame before, the start of denoising looks into several frames.
CLIP_TIME: dict[str, float] = {"denoise": 0.6, "inpaint": 0.4, "super-resolution": 0.4}
CLIP_GIGABYTES_PER_MEGAPIXEL = 1.2  # the frames that wait for their neighbours

BASE_GIGABYTES = 0.9
GIGABYTES_PER_MEGAPIXEL = 1.2
ENSEMBLE_GIGABYTES_PER_MEGAPIXEL = 2.7  # `best` enlarges with two networks
PAPER_GIGABYTES_PER_MEGAPIXEL = 8.0
TILE_MEGAPIXELS = 0.6  # larger pictures are worked in tiles of this size
WHOLE_GIGABYTES_PER_MEGAPIXEL = 0.2  # the picture itself, its estimate and its average


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a picture, or several, will cost.

    Attributes:
        seconds: of one worker.
        gigabytes: of memory at the worst moment.
    """

    seconds: float
    gigabytes: float


def estimate(
    task: str,
    settings: Settings,
    size: tuple[int, int],
    cores: int,
    frames: int | None = None,
) -> Estimate:
    """Estimate the cost of one picture or clip.

    Args:
        task: name of the task.
        settings: how it will be restored; ``settings.device`` ``auto`` counts as CPU.
        size: width and height of the input in pixels.
        cores: of the CPU that may be used.
        frames: of a clip, or None for a picture.
    """
    megapixels = size[0] * size[1] / 1e6
    if task == "super-resolution":
        megapixels *= settings.factor**2
    fixed, per_megapixel = CPU_SECONDS[task][settings.preset]
    if settings.fit_only and task == "denoise" and settings.preset == "balanced":
        per_megapixel *= ALONE
    seconds = fixed + per_megapixel * megapixels
    if frames is not None:
        seconds *= frames * CLIP_TIME[task]
    if on_gpu(settings.device):
        seconds /= GPU_SPEED
    else:
        seconds *= 2 / min(max(cores, 1), USEFUL_CORES)
    if settings.time_limit is not None:
        seconds = min(seconds, settings.time_limit)
    slope = GIGABYTES_PER_MEGAPIXEL
    if task == "super-resolution" and settings.preset == "best":
        slope = ENSEMBLE_GIGABYTES_PER_MEGAPIXEL
    if settings.preset == "paper":
        slope = PAPER_GIGABYTES_PER_MEGAPIXEL
    gigabytes = BASE_GIGABYTES + slope * min(megapixels, TILE_MEGAPIXELS)
    gigabytes += WHOLE_GIGABYTES_PER_MEGAPIXEL * megapixels
    if frames is not None:
        gigabytes += CLIP_GIGABYTES_PER_MEGAPIXEL * size[0] * size[1] / 1e6
    return Estimate(seconds, gigabytes)


def size_of(path: Path) -> tuple[int, int, int | None]:
    """Return width and height, and of a video the number of frames.

    Raises:
        DipError: the file cannot be read.
    """
    if is_video(path):
        clip = open_clip(path)
        return clip.width, clip.height, clip.count
    return (*estimate_size(path), None)


def on_gpu(device: str) -> bool:
    """Tell whether a device is a GPU by its name."""
    return device not in ("auto", "cpu")
