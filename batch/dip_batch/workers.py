"""How many pictures are worked on at the same time, and with how many CPU threads each.

A fit is a chain of small steps, which several cores cannot share well: on a CPU one process with
one thread per core gets through more pictures than all cores on one picture. Nor do they fill a
GPU (denoising 256×256 on an H200): four processes that take turns get through little more than one,
eight that use it at the same moment (`mps`) through four times as much.
"""

from __future__ import annotations

import heapq
import subprocess
import sys
from collections.abc import Iterable, Sequence
from ctypes.util import find_library
from dataclasses import dataclass
from pathlib import Path

from dip_batch import mps
from dip_batch.estimate import estimate, on_gpu, size_of
from dip_batch.todo import Todo
from dip_engine.errors import DipError
from dip_engine.job import Settings
from dip_engine.processes import free_cores, free_memory

_FREE = 0.6  # of the memory that is free now may be used: estimates are rough
_MOST_IN_TURNS, _MOST_TOGETHER = 4, 8  # on a GPU; see `mps`
_GPU_GIGABYTES = 2.0  # of a GPU, and of main memory, that a process takes beside its picture
_LOOKED_AT = 200  # largest files, which tell how much memory is needed
_SIGNS_OF_A_GPU = ("/dev/kfd", "/dev/nvidiactl", "/dev/dxg")


@dataclass(frozen=True, slots=True)
class Worker:
    """An engine process that takes one picture after the other.

    Attributes:
        device: for `Settings.device`.
        threads: for `Settings.threads`; None for all.
    """

    device: str
    threads: int | None = None


def share_out(
    devices: Sequence[str], todos: Sequence[Todo], wanted: int | None = None
) -> list[Worker]:
    """Return the workers for some pictures.

    Args:
        devices: as the user names them.
        todos: the pictures.
        wanted: workers for each device, or None to choose: one under a time limit, else one per
            core of a CPU, and up to four or eight on a GPU that tells its free memory, as far as
            there are pictures and memory for them.
    """
    settings = todos[0].job.settings if todos else Settings()
    if wanted is None and settings.time_limit is not None:
        wanted = 1
    elif wanted is None:
        fitting = _on_a_gpu if _has_gpu(devices) else _on_a_cpu
        wanted = fitting(todos, len(devices))
    count = max(1, min(wanted * len(devices), len(todos)))
    threads = None if count == 1 else max(1, free_cores() // count)
    if settings.deterministic:  # sums over threads differ in their last bits
        threads = 1
    return [Worker(devices[number % len(devices)], threads) for number in range(count)]


def _has_gpu(devices: Iterable[str]) -> bool:
    """Tell whether a device is, or may turn out to be, a GPU, without loading torch."""
    devices = list(devices)
    if any(map(on_gpu, devices)):
        return True
    return "auto" in devices and (
        sys.platform == "darwin"
        or any(Path(path).exists() for path in _SIGNS_OF_A_GPU)
        or find_library("nvcuda" if sys.platform == "win32" else "cuda") is not None
    )


def _on_a_cpu(todos: Sequence[Todo], devices: int) -> int:
    fitting = int(_FREE * free_memory() / 1e9 / _needed(todos))
    return max(1, min(free_cores(), fitting) // devices)


def _on_a_gpu(todos: Sequence[Todo], devices: int) -> int:
    """Return how many workers each GPU gets; they share main memory and cores."""
    free = min(_free_gigabytes_of_gpus(), free_memory() / 1e9 / devices)
    fitting = int(_FREE * free / (_GPU_GIGABYTES + _needed(todos)))
    most = _MOST_TOGETHER if mps.is_there() else _MOST_IN_TURNS
    return max(1, min(most, free_cores() // devices, fitting))


def _free_gigabytes_of_gpus() -> float:
    """Return the free memory of the fullest NVIDIA GPU; 0 where nothing tells it."""
    command = ["nvidia-smi", "--query-gpu=memory.free", "--format=csv,noheader,nounits"]
    try:
        told = subprocess.run(  # noqa: S603 - always the same command, no shell
            command, capture_output=True, text=True, timeout=20, check=True
        )
        return min(float(line) for line in told.stdout.split()) / 954  # MiB to GB
    except (OSError, subprocess.SubprocessError, ValueError):
        return 0.0


def _needed(todos: Sequence[Todo]) -> float:
    """Return the gigabytes that the largest picture takes."""
    large = heapq.nlargest(_LOOKED_AT, todos, key=lambda todo: todo.stamp.size)
    return max(map(_gigabytes, large), default=1.0)


def _gigabytes(todo: Todo) -> float:
    """Return the memory a picture takes; what cannot be read will be told when its turn comes."""
    try:
        width, height, frames = size_of(todo.job.input)
    except (DipError, OSError):
        width, height, frames = 0, 0, None
    cost = estimate(todo.job.task, todo.job.settings, (width, height), cores=1, frames=frames)
    return cost.gigabytes
