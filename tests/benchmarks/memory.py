"""The greatest memory a process ever had."""

from __future__ import annotations

from pathlib import Path


def peak_mb(pid: int | None) -> float | None:
    """Return it in MB for a running process; None where the system does not tell (not Linux)."""
    status = Path(f"/proc/{pid}/status")
    if not status.exists():
        return None
    lines = status.read_text(encoding="ascii").splitlines()
    fields = dict(line.split(":", 1) for line in lines)
    return round(float(fields["VmHWM"].split()[0]) * 1024 / 1e6, 1)
