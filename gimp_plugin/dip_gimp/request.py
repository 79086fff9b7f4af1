"""What the user asked for: the procedure's arguments, as the engine's settings.

GIMP's arguments have no "not given": 0 stands for "find out" where it can mean nothing else, and
shares are in percent, as GIMP shows them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from dip_engine.errors import InputError
from dip_engine.job import Settings
from dip_engine.tasks import Task, find_task

# What each argument is called, in the order of the dialog. Tasks show those they need.
COMMON = ("task", "preset", "strength")
BY_OPTION = {
    "factor": "factor",
    "quality": "quality",
    "blur": "blur",
    "blur_size": "blur-size",
    "blur_angle": "blur-angle",
    "noise_std": "noise-level",
    "noise_model": "noise-model",
    "photons": "photons",
}
ADVANCED = ("iterations", "seed", "device", "fit-only")


@dataclass(frozen=True, slots=True)
class Request:
    """A task with its settings.

    Attributes:
        task: what is done.
        settings: how.
        second: GIMP's second layer, for a task that takes one, or None.
    """

    task: Task
    settings: Settings
    second: Any = None

    @property
    def factor(self) -> int:
        """How many times larger the result is; 1 for all tasks but an enlargement."""
        return self.settings.factor if "factor" in self.task.options else 1

    @classmethod
    def read(cls, value: Callable[[str], Any]) -> Request:
        """Read the arguments of a call.

        Args:
            value: gives the value of an argument by its name.

        Raises:
            InputError: a value that the engine does not take.
        """
        task = find_task(value("task"))
        if task is None:
            raise InputError(f"There is no task {value('task')!r}.")
        second = value("second-layer")
        if second is not None and not task.guide:
            raise InputError(
                f"The task {task.name} uses no second layer.", "Leave second-layer out."
            )
        of_tasks = {
            "noise_std": value("noise-level") / 255 or None,
            "factor": int(value("factor")),
            "quality": value("quality") or None,
            "noise_model": value("noise-model"),
            "photons": value("photons") or None,
            "blur": value("blur"),
            "blur_size": value("blur-size") or None,
            "blur_angle": value("blur-angle"),
        }
        settings = Settings(
            preset=value("preset"),
            strength=value("strength") / 100,
            seed=value("seed"),
            iterations=value("iterations") or None,
            device=value("device").strip() or "auto",
            fit_only=value("fit-only"),
            # What the dialog does not show for this task must not count.
            **{option: of_tasks[option] for option in task.options},
        )
        return cls(task, settings, second)


def arguments_of(task: Task) -> tuple[str, ...]:
    """Return the names of the settings that matter for a task, in the order of the dialog."""
    return COMMON + tuple(BY_OPTION[option] for option in task.options) + ADVANCED
