"""``dip-batch``: restore pictures and folders of pictures."""

from __future__ import annotations

import shlex
import sys
from io import TextIOWrapper
from pathlib import Path
from typing import Any

import click

from dip_batch.command import Command, dry_run, restore
from dip_batch.names import printable
from dip_batch.plan import FORMATS, Request
from dip_batch.todo import EXISTS
from dip_engine import __version__
from dip_engine.errors import Cancelled, DeviceError, DipError, InputError
from dip_engine.option_checks import check_options_of_task
from dip_engine.options import (
    MASKED_TASKS,
    settings_from_options,
    settings_options,
)

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)


@click.command(
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit codes: 0 all done or skipped, 1 some failed, 2 wrong usage, 3 no engine or no "
    "device, 130 interrupted.",
)
@click.argument(
    "inputs",
    nargs=-1,
    required=True,
    type=click.Path(exists=True, path_type=Path),
    metavar="INPUT…",
)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    help="Folder of the results (a file for a single picture).  [default: INPUT-restored]",
)
@settings_options
@click.option(
    "--mask", type=_FILE, help=f"One mask for all pictures; white is restored ({MASKED_TASKS})."
)
@click.option(
    "--mask-dir",
    type=_FOLDER,
    help="Folder with a mask for each picture: trip/cat.* or trip/cat_mask.* for trip/cat.jpg. "
    "May be the INPUT itself, then only *_mask.* are masks.",
)
@click.option(
    "--guide-dir",
    type=_FOLDER,
    help="Folder with a second picture for each: trip/cat.* or trip/cat_hints.* (colourise), "
    "trip/cat_flash.* (flash) for trip/cat.jpg. May be the INPUT itself, as with --mask-dir.",
)
@click.option(
    "--exists",
    type=click.Choice(EXISTS),
    default="skip",
    show_default=True,
    help="What to do about results that are there. A run that was interrupted goes on where it "
    "was in any case.",
)
@click.option(
    "--include",
    multiple=True,
    metavar="GLOB",
    help="Only pictures whose name or relative path fits, e.g. '*_noisy.png'. Repeatable.",
)
@click.option(
    "--exclude", multiple=True, metavar="GLOB", help="Leave out pictures that fit. Repeatable."
)
@click.option(
    "--format",
    "file_format",
    type=click.Choice(tuple(FORMATS)),
    default="same",
    show_default=True,
    help="File format of the results. Inpainted JPEG files become PNG unless one is chosen.",
)
@click.option(
    "--workers",
    type=click.IntRange(1, 256),
    help="Pictures worked on at the same time on each device.  [default: on a CPU one per core, on "
    "an NVIDIA GPU four (eight with MPS), as far as the memory goes; with --time-limit one]",
)
@click.option("--dry-run", is_flag=True, help="Show what would be done and what it may cost.")
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON; text to stderr.")
@click.option("-q", "--quiet", is_flag=True, help="Tell only what did not go well.")
@click.option("--engine", metavar="COMMAND", hidden=True, help="Command that starts the engine.")
@click.version_option(__version__, prog_name="dip-batch")
@click.pass_context
def main(context: click.Context, /, inputs: tuple[Path, ...], **options: Any) -> None:
    """Restore pictures, or all pictures and videos of folders, each from nothing but itself.

    Results go to INPUT-restored beside each folder, with the same tree below, or to the folder
    given with -o; originals are never touched. A run that was killed goes on where it was when
    it is started again. --device cuda:0,cuda:1 works on several pictures at once.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")  # an arrow must not fail on an old terminal
    check_options_of_task(context, options["task"])
    preview_only = options.pop("dry_run")
    command = _command(inputs, options)
    try:
        context.exit(dry_run(command) if preview_only else restore(command))
    except InputError as error:
        raise click.UsageError(printable(str(error))) from error
    except DipError as error:
        click.echo(f"Error: {printable(str(error))}", err=True)
        context.exit(DeviceError.exit_code)
    except KeyboardInterrupt:
        context.exit(Cancelled.exit_code)


def _command(inputs: tuple[Path, ...], options: dict[str, Any]) -> Command:
    """Put the values of the command line where they belong; what is left are settings."""
    take = options.pop
    names = (
        "task",
        "file_format",
        "include",
        "exclude",
        "mask",
        "mask_dir",
        "guide",
        "guide_dir",
        "kernel",
    )
    mask_color = take("mask_color")
    request = Request(
        inputs,
        take("output"),
        **{name: take(name) for name in names},
        by_color=mask_color is not None,
    )
    engine = take("engine")
    names_of_devices = (name.strip() for name in take("device").split(","))
    devices = tuple(dict.fromkeys(filter(None, names_of_devices))) or ("auto",)
    return Command(
        request,
        devices=devices,
        workers=take("workers"),
        mask_color=mask_color,
        exists=take("exists"),
        engine=None if engine is None else shlex.split(engine),
        as_json=take("as_json"),
        quiet=take("quiet"),
        settings=settings_from_options(device=devices[0], **options),
    )
