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
        guide: ending of the second picture's name, e.g. ``flash``; empty if the task takes none.
        guide_title: what a user reads of it.
        takes_clip: it restores videos and folders of frames, too.
    """

    name: str
    title: str
    summary: str
    takes_mask: bool = True
    needs_mask: bool = False
    options: tuple[str, ...] = ()
    guide: str = ""
    guide_title: str = ""
    takes_clip: bool = False


TASKS: tuple[Task, ...] = (
    Task(
        "denoise",
        "Denoise",
        "Remove noise; its level is estimated unless given.",
        options=("noise_std", "noise_model", "photons"),
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
    Task(
        "deblur",
        "Deblur",
        "Undo a blur of known shape, or find the shape.",
        options=("blur", "blur_size", "blur_angle", "noise_std"),
    ),
    Task(
        "colourise",
        "Colourise",
        "Spread the colours of a few strokes over a gray picture.",
        guide="hints",
        guide_title="picture with strokes of colour",
    ),
    Task(
        "flash",
        "Flash / no-flash",
        "Restore a dark, noisy picture with the help of one taken with flash.",
        options=("noise_std",),
        guide="flash",
        guide_title="picture taken with flash",
    ),
)

PRESETS: tuple[str, ...] = ("fast", "balanced", "best", "paper")
NETWORKS: tuple[str, ...] = ("skip", "u-net", "deep-decoder", "up", "blind-spot")
NETWORK_ALIASES: dict[str, str] = {"fast": "up"}
FACTORS: tuple[int, ...] = (2, 3, 4, 8)
BLURS: tuple[str, ...] = ("unknown", "gaussian", "motion", "defocus")
NOISE_MODELS: tuple[str, ...] = ("gaussian", "poisson")
OPTIMISERS: tuple[str, ...] = ("adam", "sgd")
DTYPES: tuple[str, ...] = ("auto", "float32", "bfloat16")


def find_task(name: str) -> Task | None:
    """Return the task of that name, or None."""
    return next((task for task in TASKS if task.name == name), None)
