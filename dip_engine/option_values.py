"""Values of options that have a form of their own, as a person types them; no torch here."""

from __future__ import annotations

import string

import click

from dip_engine.errors import InputError
from dip_engine.tasks import NETWORK_ALIASES, NETWORKS


def parse_color(text: str) -> tuple[int, int, int]:
    """Read a colour such as ``ff0000`` or ``#ff0000`` as 0–255 RGB.

    Raises:
        InputError: it is not six hexadecimal digits.
    """
    digits = text.removeprefix("#")
    if len(digits) != 6 or not set(digits) <= set(string.hexdigits):
        raise InputError(
            f"{text!r} is no colour.", "Give six hexadecimal digits, e.g. ff0000 for pure red."
        )
    red, green, blue = bytes.fromhex(digits)
    return red, green, blue


def parse_networks(text: str) -> dict[str, str]:
    """Read names such as ``skip,fast`` as {name: network}, in their order.

    Raises:
        InputError: a name that is no network, or a network that is named twice.
    """
    known = {name: name for name in NETWORKS} | NETWORK_ALIASES
    named: dict[str, str] = {}
    for name in (part.strip() for part in text.split(",")):
        if name not in known:
            choices = f"Choose from: {', '.join(known)}."
            raise InputError(f"Unknown network {name!r}.", choices)
        if known[name] in named.values():
            raise InputError(f"The network {name} is named twice.", "Name each network once.")
        named[name] = known[name]
    return named


def color_of(
    _context: click.Context, _parameter: click.Parameter, text: str | None
) -> tuple[int, int, int] | None:
    """Let click read an option with `parse_color`."""
    try:
        return None if text is None else parse_color(text)
    except InputError as error:
        raise click.BadParameter(str(error)) from error


def networks_of(_context: click.Context, _parameter: click.Parameter, text: str) -> dict[str, str]:
    """Let click read an option with `parse_networks`."""
    try:
        return parse_networks(text)
    except InputError as error:
        raise click.BadParameter(str(error)) from error
