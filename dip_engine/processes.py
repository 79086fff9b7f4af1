"""Processes of this machine, and the cores they may use."""

from __future__ import annotations

import os

import psutil


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
