"""Other processes of this machine."""

from __future__ import annotations

import psutil


def is_running(pid: int) -> bool:
    """Return True while a process of that id runs; a zombie has ended, nobody asked how."""
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
    except (psutil.AccessDenied, OverflowError, ValueError):
        return psutil.pid_exists(pid) if 0 <= pid < 2**31 else False
