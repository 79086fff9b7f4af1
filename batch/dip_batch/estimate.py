"""A rough guess of how long pictures take and how much memory they need.

Seconds are proportional to the pixels of the result; memory grows with them up to the size of a
tile, except for the paper's preset, which is not tiled. Nothing is measured on this machine.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

from dip_engine.job import Settings

# Seconds per megapixel of the result on two CPU cores, by task and preset.
CPU_SECONDS: dict[str, dict[str, float]] = {
    "denoise": {"fast": 30.0, "balanced": 230.0, "best": 900.0, "paper": 25_000.0},
    "inpaint": {"fast": 180.0, "balanced": 400.0, "best": 1000.0, "paper": 80_000.0},
    "super-resolution": {"fast": 60.0, "balanced": 500.0, "best": 1500.0, "paper": 20_000.0},
    "jpeg": {"fast": 30.0, "balanced": 230.0, "best": 900.0, "paper": 25_000.0},
}
# How many times faster a GPU of the last years is than two CPU cores.
GPU_SPEED = 40.0
# More cores than this no longer help.
USEFUL_CORES = 8

BASE_GIGABYTES = 0.9
GIGABYTES_PER_MEGAPIXEL = 1.2
TILED_GIGABYTES = 3.5
PAPER_GIGABYTES_PER_MEGAPIXEL = 8.0


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a picture, or several, will cost.

    Attributes:
        seconds: of one worker.
        gigabytes: of memory at the worst moment.
    """

    seconds: float
    gigabytes: float


def estimate(task: str, settings: Settings, size: tuple[int, int], cores: int) -> Estimate:
    """Estimate the cost of one picture.

    Args:
        task: name of the task.
        settings: how it will be restored; ``settings.device`` ``auto`` counts as CPU.
        size: width and height of the input in pixels.
        cores: of the CPU that may be used.
    """
    megapixels = size[0] * size[1] / 1e6
    if task == "super-resolution":
        megapixels *= settings.factor**2
    seconds = CPU_SECONDS[task][settings.preset] * megapixels
    if on_gpu(settings.device):
        seconds /= GPU_SPEED
    else:
        seconds *= 2 / min(max(cores, 1), USEFUL_CORES)
    if settings.time_limit is not None:
        seconds = min(seconds, settings.time_limit)
    if settings.preset == "paper":
        gigabytes = BASE_GIGABYTES + PAPER_GIGABYTES_PER_MEGAPIXEL * megapixels
    else:
        gigabytes = min(BASE_GIGABYTES + GIGABYTES_PER_MEGAPIXEL * megapixels, TILED_GIGABYTES)
    return Estimate(seconds, gigabytes)


def on_gpu(device: str) -> bool:
    """Tell whether a device is a GPU by its name."""
    return device not in ("auto", "cpu")


def free_cores() -> int:
    """Return the number of CPU cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
