"""What the engine can do, as plain data: the tasks, their presets and the networks.

No torch here: command lines, GIMP and the batch read this table to show choices and defaults.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Task:
    """One kind of restoration.

    Attributes:
        name: what a user types, e.g. ``denoise``.
        title: what a user reads.
        summary: one line of help.
        takes_mask: a mask (white = restore) can say where the picture may change.
        needs_mask: the task cannot run without one.
        options: names of the `Settings` fields that matter for this task beyond the common ones.
        takes_clip: it restores videos and folders of frames, too.
    """

    name: str
    title: str
    summary: str
    takes_mask: bool = True
    needs_mask: bool = False
    options: tuple[str, ...] = ()
    takes_clip: bool = False


TASKS: tuple[Task, ...] = (
    Task(
        "denoise",
        "Denoise",
        "Remove noise; its level is estimated unless given.",
        options=("noise_std",),
        takes_clip=True,
    ),
    Task(
        "inpaint",
        "Inpaint",
        "Fill the white part of a mask from the rest of the picture.",
        needs_mask=True,
        takes_clip=True,
    ),
    Task(
        "super-resolution",
        "Super-resolution",
        "Enlarge by 2, 3, 4 or 8.",
        takes_mask=False,
        options=("factor",),
        takes_clip=True,
    ),
    Task(
        "jpeg",
        "Remove JPEG artefacts",
        "Remove blocks and ringing of strong JPEG compression.",
        options=("quality",),
    ),
)

PRESETS: tuple[str, ...] = ("fast", "balanced", "best", "paper")
NETWORKS: tuple[str, ...] = ("skip", "deep-decoder", "up", "blind-spot")
FACTORS: tuple[int, ...] = (2, 3, 4, 8)
OPTIMISERS: tuple[str, ...] = ("adam", "sgd")
DTYPES: tuple[str, ...] = ("auto", "float32", "bfloat16")


def find_task(name: str) -> Task | None:
    """Return the task of that name, or None."""
    return next((task for task in TASKS if task.name == name), None)
