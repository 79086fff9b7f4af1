"""Processes of this machine, and the cores and the memory they may use."""

from __future__ import annotations

import os
from pathlib import Path

import psutil

_CGROUP = Path("/sys/fs/cgroup")  # of a container: the limits of all that runs in it


def is_running(pid: int) -> bool:
    """Return True while a process of that id runs; a zombie has ended, nobody asked how."""
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
    except (psutil.AccessDenied, OverflowError, ValueError):
        return psutil.pid_exists(pid) if 0 <= pid < 2**31 else False


def free_cores() -> int:
    """Return the number of CPU cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def free_memory() -> int:
    """Return how many bytes are free, for a container within its limit."""
    available: int = psutil.virtual_memory().available
    try:
        limit, used = (int((_CGROUP / f"memory.{name}").read_text()) for name in ("max", "current"))
        lines = (_CGROUP / "memory.stat").read_text().splitlines()
        cached = dict(line.split() for line in lines)["inactive_file"]  # counts as used, is not
        return min(available, max(0, limit - used + int(cached)))
    except (OSError, ValueError, KeyError):  # no container, or "max": no limit
        return available
