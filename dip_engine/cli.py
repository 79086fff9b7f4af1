"""The command line ``dip-engine``. What needs torch runs in the engine process, never here."""

from __future__ import annotations

import json
import signal
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from dip_engine import __version__
from dip_engine.errors import Cancelled, DipError, InputError, OutputError
from dip_engine.gimp_command import install_gimp_plugin
from dip_engine.job import Job
from dip_engine.option_checks import check_options_of_task
from dip_engine.option_values import networks_of
from dip_engine.options import (
    MASKED_TASKS,
    adapted,
    settings_from_options,
    settings_options,
)
from dip_engine.terminal import complain, follow, summary

_FILE = click.Path(path_type=Path, dir_okay=False)
_FOLDER = click.Path(path_type=Path, file_okay=False)
_ANY = click.Path(path_type=Path)  # a picture, a video or a folder of frames


def main() -> int:
    """Run the command line and return its exit code."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends it in order, as Ctrl+C does
    try:
        cli.main(prog_name="dip-engine")
    except DipError as error:
        complain(error)
        return error.exit_code


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, message="Deep Image Prior %(version)s")
def cli() -> None:
    """Deep Image Prior: restore a picture from nothing but itself.

    For whole folders there is dip-batch.
    """


@cli.command()
@click.argument("picture", metavar="IN", type=_ANY)
@click.argument("output", metavar="OUT", type=_ANY)
@settings_options
@click.option(
    "--mask",
    type=_ANY,
    help=f"Picture of the same size; white is restored ({MASKED_TASKS}). For a clip it may be a "
    "clip of as many frames.",
)
@click.option(
    "--uncertainty",
    type=_FILE,
    help="Write how much the fit varies, too: the standard deviation of each pixel (.npy, .tif).",
)
@click.option("--force", is_flag=True, help="Replace OUT if it exists.")
@click.pass_context
def restore(
    context: click.Context,
    /,
    *,
    picture: Path,
    output: Path,
    task: str,
    mask: Path | None,
    mask_color: tuple[int, int, int] | None,
    guide: Path | None,
    kernel: Path | None,
    uncertainty: Path | None,
    force: bool,
    **options: Any,
) -> None:
    """Restore the picture IN and write the result to OUT.

    IN may be a clip: a video, or a folder of pictures that are its frames; OUT is a video or a
    folder then. The suffix of OUT chooses the file format. Ctrl+C cancels; nothing is written
    then.
    """
    from dip_engine.client import Engine
    from dip_engine.temporary import sweep

    check_options_of_task(context, task)
    settings = settings_from_options(**options)
    try:
        job = Job(
            task,
            picture,
            output,
            mask,
            mask_color,
            settings,
            guide=guide,
            kernel=kernel,
            uncertainty=uncertainty,
        )
    except InputError as error:
        raise click.UsageError(str(error)) from error
    if uncertainty is not None and uncertainty.absolute() == output.absolute():
        raise click.UsageError("--uncertainty and OUT name the same file.")
    targets = [output] if uncertainty is None else [output, uncertainty]
    _check_input(picture)
    for target in targets:
        _check_output(picture, target, force=force)
    try:
        with Engine() as engine:
            result = follow(engine.run(job), picture.name)
    except KeyboardInterrupt:
        raise Cancelled(f"{picture} was given up, {output} was not written.") from None
    finally:
        for target in targets:
            sweep(target)  # an engine that had to be killed could not
    for warning in result.warnings:
        click.echo(f"Warning: {warning}", err=True)
    click.echo(summary(result))


_SAME_FOR_ALL: dict[str, Any] = {
    "preset": "balanced",
    "network": None,
    "strength": 1.0,
    "fit_only": True,
    "time_limit": None,
}


@adapted(without=_SAME_FOR_ALL, task="denoise", iterations=2000)
@cli.command()
@click.argument("picture", type=_FILE)
@click.option(
    "--networks",
    metavar="NAMES",
    default="skip,deep-decoder,fast",
    show_default=True,
    callback=networks_of,
    help="Which to compare, with commas between them; fast is our up.",
)
@click.option("--truth", type=_FILE, help="The picture as it should be, to measure against.")
@settings_options
@click.option(
    "--mask", type=_FILE, help=f"Picture of the same size; white is restored ({MASKED_TASKS})."
)
@click.option(
    "-o", "--output", type=_FOLDER, help="Folder to make.  [default: PICTURE-compare beside it]"
)
@click.option("--force", is_flag=True, help="Replace the folder if it exists.")
@click.pass_context
def compare(
    context: click.Context,
    /,
    *,
    picture: Path,
    networks: dict[str, str],
    truth: Path | None,
    task: str,
    mask: Path | None,
    mask_color: tuple[int, int, int] | None,
    guide: Path | None,
    kernel: Path | None,
    output: Path | None,
    force: bool,
    **options: Any,
) -> None:
    """Compare networks on one PICTURE, in a page with curves, pictures and a film.

    Each network is fitted alone, well past the point where it learns the noise.
    """
    from dip_engine import comparison_page, curves
    from dip_engine.client import Engine
    from dip_engine.comparison import Comparison
    from dip_engine.folder import new_folder

    output = output or picture.with_name(f"{picture.stem}-compare")
    check_options_of_task(context, task)
    settings = settings_from_options(**_SAME_FOR_ALL, **options)
    try:
        job = Job(task, picture, output, mask, mask_color, settings, guide=guide, kernel=kernel)
        for network in networks.values():
            replace(job, settings=replace(settings, network=network))
    except InputError as error:
        raise click.UsageError(str(error)) from error
    curves.require_matplotlib()
    _check_input(picture)
    try:
        comparison = Comparison(job, networks, truth)
        with new_folder(output, comparison_page.FILES, force=force) as folder:
            with Engine() as engine:
                for trial in comparison.trials:
                    result = follow(trial.run(engine, folder), f"{picture.name}, {trial.name}")
                    for warning in result.warnings:
                        click.echo(f"Warning: {trial.name}: {warning}", err=True)
                    click.echo(trial.summary)
            comparison_page.write(comparison, folder)
    except KeyboardInterrupt:
        raise Cancelled(f"The comparison was given up, {output} was not written.") from None
    click.echo(output / "index.html")


@cli.command()
def worker() -> None:
    """Serve jobs on stdin and stdout (for programs)."""
    from dip_engine import worker

    sys.exit(worker.main())


@cli.command()
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON.")
def doctor(as_json: bool) -> None:
    """Check the installation; exit code 3 if something that matters is broken."""
    from dip_engine.doctor import examine, has_failed, to_text

    findings = examine()
    if as_json:
        text = json.dumps([finding.to_dict() for finding in findings], indent=2)
    else:
        text = to_text(findings)
    click.echo(text)
    if has_failed(findings):
        sys.exit(3)


@cli.command()
@click.argument("folder", type=_FOLDER)
@click.option(
    "--sigma",
    type=click.FloatRange(0, 255),
    default=25.0,
    show_default=True,
    help="Standard deviation of the noise in 8-bit levels.",
)
def samples(folder: Path, sigma: float) -> None:
    """Write a few real photos with noise into FOLDER, to try the program on."""
    from dip_engine.samples import write_samples

    for file, is_new in write_samples(folder, sigma).items():
        click.echo(f"{file}" if is_new else f"{file} is already there; left as it is.")


cli.add_command(install_gimp_plugin)


def _check_input(picture: Path) -> None:
    """Refuse what cannot be opened before an engine is started for it."""
    from dip_engine.picture import opened

    if not picture.is_dir():  # frames of a clip
        with opened(picture):
            pass


def _check_output(picture: Path, output: Path, *, force: bool) -> None:
    if not output.exists() or (output.is_dir() and not any(output.iterdir())):
        return
    if picture.exists() and output.samefile(picture):
        raise OutputError(
            f"{output} is the picture itself, which is never overwritten.", "Name another file."
        )
    if not force:
        raise OutputError(f"{output} exists.", "Use --force to replace it.")
