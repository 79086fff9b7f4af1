"""The command ``dip-engine install-gimp-plugin``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dip_engine.errors import DipError
from dip_engine.terminal import complain

if TYPE_CHECKING:
    from dip_engine.gimp_profiles import Profile

_FOLDER = click.Path(path_type=Path, file_okay=False)


@click.command("install-gimp-plugin")
@click.option(
    "--dir", "plug_ins", metavar="PLUG-INS-FOLDER", type=_FOLDER, help="This folder only."
)
@click.option("--all", "every", is_flag=True, help="Every GIMP 3, old versions and snaps too.")
@click.option("--uninstall", is_flag=True, help="Remove it, from every GIMP 3 or from --dir.")
def install_gimp_plugin(plug_ins: Path | None, every: bool, uninstall: bool) -> None:
    """Put the plug-in into GIMP 3, or remove it.

    Without options it goes into the newest GIMP 3 of each kind: native and flatpak.
    """
    from dip_engine import gimp_profiles

    if plug_ins and every:
        raise click.UsageError("--dir and --all exclude each other.")
    found = gimp_profiles.find_profiles()
    if plug_ins:
        found = [profile for profile in found if profile.plug_ins == plug_ins.absolute()]
    if uninstall:
        _remove_plugin(plug_ins, found)
    else:
        chosen = found if every or plug_ins else gimp_profiles.newest_usable(found)
        _put_plugin(plug_ins, chosen, [profile for profile in found if profile not in chosen])


def _put_plugin(plug_ins: Path | None, chosen: list[Profile], left_out: list[Profile]) -> None:
    from dip_engine import gimp, gimp_profiles

    folders = [plug_ins] if plug_ins else [profile.plug_ins for profile in chosen]
    _for_each(folders, lambda folder: f"GIMP plug-in: {gimp.install_plugin(folder)}")
    if left_out:
        titles = ", ".join(profile.title for profile in left_out)
        click.echo(f"GIMP plug-in: not in {titles}; --all puts it there too.")
    for note in gimp_profiles.notes_on(chosen + left_out):
        click.echo(f"GIMP plug-in: {note}")
    if folders:
        menu = "Filters → Enhance → Deep Image Prior"
        click.echo(f"Restart GIMP if it is open; the plug-in is in {menu}.")
    elif not left_out:
        click.echo(f"GIMP plug-in: {gimp_profiles.why_no_profile()}")


def _remove_plugin(plug_ins: Path | None, found: list[Profile]) -> None:
    from dip_engine import gimp

    if not plug_ins:
        gimp.remove_scratch()

    def remove(folder: Path) -> str:
        return f"GIMP plug-in removed from {folder}" if gimp.remove_plugin(folder) else ""

    _for_each([plug_ins] if plug_ins else [profile.plug_ins for profile in found], remove)


def _for_each(folders: list[Path], action: Callable[[Path], str]) -> None:
    """Act on every folder and print what that says; a folder at fault does not stop the others."""
    failures: list[DipError] = []
    for folder in folders:
        try:
            if line := action(folder):
                click.echo(line)
        except DipError as error:
            failures.append(error)
    for failure in failures[:-1]:
        complain(failure)
    if failures:
        raise failures[-1]
