"""How names of files are ordered and shown to a person."""

from __future__ import annotations

import re
import unicodedata
from pathlib import Path, PurePath

from rich.cells import cell_len


def natural_key(path: PurePath) -> tuple[list[list[tuple[str, int]]], str]:
    """Return a sort key that puts ``2.png`` before ``10.png``, folder by folder."""
    parts = []
    for part in path.parts:
        pieces = re.findall(r"(\D*)(\d*)", part.casefold())
        parts.append([(text, int(digits or -1)) for text, digits in pieces])
    return parts, str(path)


def printable(text: str) -> str:
    """Return the text without what a terminal would obey or an encoder would refuse.

    Control characters and the undecodable bytes of a file name become a replacement character.
    """
    return "".join("\ufffd" if unicodedata.category(c).startswith("C") else c for c in text)


def shown(path: Path) -> str:
    """Return a path the way a person wants to read it: relative where it is below here."""
    here = Path.cwd()
    return printable(str(path.relative_to(here) if path.is_relative_to(here) else path))


def shorten(text: str, width: int) -> str:
    """Cut the middle out of a text so that it takes at most ``width`` terminal cells."""
    if cell_len(text) <= width:
        return text
    left, right = text[: len(text) // 2], text[len(text) // 2 :]
    while cell_len(left) + cell_len(right) > width - 1:
        if cell_len(left) > cell_len(right):
            left = left[:-1]
        else:
            right = right[1:]
    return f"{left}…{right}"


def span(seconds: float) -> str:
    """Return a duration in words: ``0.8 s``, ``41 s``, ``5 min``, ``2 h 10 min``, ``3 d 4 h``."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 24:
        return f"{hours} h {minutes} min"
    return f"{hours // 24} d {hours % 24} h"
