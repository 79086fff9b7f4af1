"""What others reached, picture by picture."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tables import Table

from dip_engine.errors import InputError

NAME = "published_scores.json"


class Published:
    """The file of published scores; without one, little is known.

    Attributes:
        path: of the file, which need not be there.

    Args:
        data: its folder.

    Raises:
        InputError: the file is damaged.
    """

    def __init__(self, data: Path) -> None:
        self.path = data / NAME
        self._tables: dict[str, Any] = {}
        try:
            if self.path.exists():
                self._tables = json.loads(self.path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise InputError(f"{self.path} cannot be read: {error}.") from error

    def fields(self, table: Table, picture: str) -> dict[str, float | None]:
        """Return what a row says of others: PSNR and SSIM of DIP, PSNR of a classical method."""
        dip = self.score(table, picture, table.dip)
        classical = self.score(table, picture, table.classical)
        return {
            "published": table.reached.get(picture) if dip is None else dip[0],
            "published_ssim": None if dip is None else dip[1],
            "classical": None if classical is None else classical[0],
        }

    def score(self, table: Table, picture: str, column: str) -> tuple[float, float | None] | None:
        """Return PSNR and, where it is known, SSIM; None where nothing is published."""
        value = self._tables.get(table.scores, {}).get(picture, {}).get(column)
        if value is None:
            return None
        return (value[0], value[1]) if isinstance(value, list) else (value, None)
