"""Which device does the work, in which number format, and what its failures mean."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch

from dip_engine.errors import DeviceError, DeviceLost, DipError, OutOfMemory
from dip_engine.job import Settings
from dip_engine.processes import free_cores

_TOO_LITTLE_MEMORY = (
    "out of memory",
    "DefaultCPUAllocator",
    "ALLOC_FAILED",  # of cuBLAS, cuDNN and cuFFT
    "unable to find an engine to execute this computation",  # of cuDNN
)
_LOST = ("device-side assert", "unspecified launch failure", "illegal memory access", "CUDA error")


@dataclass(frozen=True, slots=True)
class DeviceInfo:
    """A device that can be chosen.

    Attributes:
        name: for `Settings.device`, e.g. ``cuda:0``.
        title: for people, e.g. the graphics card's name.
        memory_bytes: total memory, 0 where it is not known.
        dtype: number format that ``auto`` means there.
    """

    name: str
    title: str
    memory_bytes: int
    dtype: str


def list_devices() -> list[DeviceInfo]:
    """Return all devices, the one that ``auto`` chooses first."""
    found = []
    for index in range(torch.cuda.device_count() if torch.cuda.is_available() else 0):
        properties = torch.cuda.get_device_properties(index)
        device = torch.device("cuda", index)
        found.append(
            DeviceInfo(
                str(device), properties.name, properties.total_memory, _name(fast_format(device))
            )
        )
    if torch.backends.mps.is_available():
        found.append(DeviceInfo("mps", "Apple GPU", 0, "float32"))
    cpu = torch.device("cpu")
    title = f"CPU, {free_cores()} cores"
    found.append(DeviceInfo("cpu", title, _main_memory(), _name(fast_format(cpu))))
    return found


def choose_device(name: str) -> torch.device:
    """Return the device of that name; ``auto`` takes CUDA, else MPS, else the CPU.

    Raises:
        DeviceError: there is none of that name on this machine.
    """
    if name == "auto":
        return torch.device(list_devices()[0].name)
    available = [info.name for info in list_devices()]
    if name == "cuda" and "cuda:0" in available:
        return torch.device("cuda:0")
    if name not in available:
        raise DeviceError(
            f"There is no device {name!r} on this machine.",
            f"Choose auto, or one of: {', '.join(available)}.",
        )
    return torch.device(name)


def use_device(name: str) -> torch.device:
    """Choose a device and make it the one on which CUDA does what names none.

    Raises:
        DeviceError: there is none of that name on this machine.
    """
    device = choose_device(name)
    if device.type == "cuda":
        torch.cuda.set_device(device)
    return device


def choose_format(device: torch.device, settings: Settings) -> torch.dtype:
    """Return the number format of the network's activations.

    bfloat16 where the device has matrix units for it (on a CPU without them it is several times
    slower than float32); float32 for the preset ``paper``, which is to be as published.
    """
    if settings.dtype != "auto":
        return torch.bfloat16 if settings.dtype == "bfloat16" else torch.float32
    if settings.preset == "paper" or settings.deterministic:
        return torch.float32
    return fast_format(device)


def fast_format(device: torch.device) -> torch.dtype:
    """Return the format that is fast on a device and not worse in quality."""
    if device.type == "cuda":
        fast = torch.cuda.get_device_capability(device) >= (8, 0)
    elif device.type == "cpu":
        fast = torch.cpu._is_amx_tile_supported()
    else:
        fast = False
    return torch.bfloat16 if fast else torch.float32


@contextmanager
def prepared(settings: Settings) -> Iterator[None]:
    """Set threads, determinism and the treatment of tiny numbers; all is as before afterwards."""
    threads = torch.get_num_threads()
    deterministic = _determinism()
    cudnn = torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark
    if settings.deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    try:
        torch.set_num_threads(settings.threads or free_cores())
        torch.set_flush_denormal(True)
        # On a GPU some gradients have no deterministic form: a warning, not an error.
        _set_determinism((settings.deterministic, settings.deterministic))
        torch.backends.cudnn.deterministic = settings.deterministic
        # Its trials of all algorithms take ten seconds, and what they find is no faster.
        torch.backends.cudnn.benchmark = False
        yield
    finally:
        torch.set_num_threads(threads)
        torch.set_flush_denormal(False)
        _set_determinism(deterministic)
        torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = cudnn


def _determinism() -> tuple[bool, bool]:
    """Return whether algorithms are deterministic, and whether others get a warning only."""
    return (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
    )


def _set_determinism(wanted: tuple[bool, bool]) -> None:
    """Set what differs only: the call loads all of torch's compiler, which takes two seconds."""
    if wanted != _determinism():
        torch.use_deterministic_algorithms(wanted[0], warn_only=wanted[1])


def as_dip_error(error: Exception, name: str) -> DipError | None:
    """Return what a failure of the device means for the picture `name`, None if it is none."""
    text = str(error)
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)) or any(
        sign.lower() in text.lower() for sign in _TOO_LITTLE_MEMORY
    ):
        return OutOfMemory(
            f"{name} does not fit into the memory of the device.",
            "Try --device cpu, a smaller picture, or another preset than paper.",
        )
    if any(sign in text for sign in _LOST):
        return DeviceLost(
            f"The device failed while {name} was restored ({text.splitlines()[0]}).",
            "Try again; if it comes back, update the graphics driver.",
        )
    return None


def _main_memory() -> int:
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return 0


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
