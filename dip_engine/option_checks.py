"""Which of the given options mean something for a task; no torch here."""

from __future__ import annotations

import click
from click.core import ParameterSource

from dip_engine.tasks import TASKS, find_task

# What the options of the command lines are about, where it is not their own name.
_ABOUT = {"noise_level": "noise_std", "kernel": "blur"}
_MASKS = ("mask", "mask_dir", "mask_color")
_GUIDES = ("guide", "guide_dir")
_BLURS = ("blur", "kernel")
_ONLY_WITH = (("photons", "noise_model", "poisson"), ("blur_angle", "blur", "motion"))


def check_options_of_task(context: click.Context, name: str) -> None:
    """Refuse an option that would silently do nothing for a task.

    Raises:
        click.UsageError: there is one, or there are two masks or two second pictures.
    """
    task = find_task(name)
    assert task is not None, "click has checked the name"
    every = {option for other in TASKS for option in other.options}
    given = [
        option
        for option in context.params
        if context.get_parameter_source(option) is ParameterSource.COMMANDLINE
    ]
    for option in given:
        about = _ABOUT.get(option, option)
        useless = about in every and about not in task.options
        useless |= option in _MASKS and not task.takes_mask
        useless |= option in _GUIDES and not task.guide
        if useless:
            raise click.UsageError(f"{_flag(option)} means nothing for the task {name}.")
    for option, other, value in _ONLY_WITH:
        if option in given and context.params.get(other) != value:
            wanted = f"{_flag(other)} {value}"
            raise click.UsageError(f"{_flag(option)} means nothing without {wanted}.")
    for group in (_MASKS, _GUIDES, _BLURS):
        several = [_flag(option) for option in given if option in group]
        if len(several) > 1:
            raise click.UsageError(f"Give one of {' and '.join(several)}, not both.")


def _flag(option: str) -> str:
    return "--" + option.replace("_", "-")
