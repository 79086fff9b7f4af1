"""The rows of a folder of results, one JSON line each, so that a killed run goes on where it was.

A row is on the disk before the next picture begins. Of several rows of one picture that were asked
for in the same way, the last one counts.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from measuring import Row


@dataclass(frozen=True, slots=True)
class Asked:
    """What has to be the same for two rows to be of the same measurement.

    Attributes:
        preset, seed, device, dtype: as on the command line.
        version: of the program.
    """

    preset: str
    seed: int
    device: str
    dtype: str
    version: str

    @property
    def folder(self) -> str:
        """Return a name for a folder of such results."""
        device = self.device.replace(":", "")
        return f"pictures-{self.preset}-{self.seed}-{device}-{self.dtype}"


class Results:
    """The rows of one folder, as they were asked for.

    Args:
        path: the file, which need not be there.
        asked: how.

    Raises:
        OSError: the file cannot be read.
    """

    def __init__(self, path: Path, asked: Asked) -> None:
        self.path = path
        self._asked = asdict(asked)
        self._rows: dict[tuple[str, str], Row] = {}
        self._torn = False
        if path.exists():
            self._read(path.read_text(encoding="utf-8", errors="replace"))

    @property
    def rows(self) -> list[Row]:
        """Return the rows, oldest first."""
        return list(self._rows.values())

    def has(self, table: str, picture: str) -> bool:
        """Tell whether a picture was measured; one that failed was not."""
        row = self._rows.get((table, picture))
        return row is not None and "error" not in row

    def add(self, row: Row) -> None:
        """Note a row, on the disk when this returns.

        Raises:
            OSError: it cannot be written.
        """
        line = json.dumps({**row, "asked": self._asked}, ensure_ascii=False) + "\n"
        with self.path.open("ab") as file:
            file.write(b"\n" * self._torn + line.encode())
            file.flush()
            os.fsync(file.fileno())
        self._torn = False
        self._rows[row["set"], row["picture"]] = row

    def _read(self, text: str) -> None:
        """Take the rows of a file; lines that cannot be read, such as a torn last one, are left."""
        self._torn = text != "" and not text.endswith("\n")
        for line in text.splitlines():
            try:
                row = json.loads(line)
                if row.pop("asked") == self._asked:
                    self._rows[row["set"], row["picture"]] = row
            except (ValueError, TypeError, KeyError, AttributeError):
                continue
