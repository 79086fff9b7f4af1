"""The journal of a folder of results: what is done, so that a killed run goes on where it was.

``OUT/.dip-batch/journal.jsonl`` gets one line per finished picture, on the disk before the next
picture begins, and a line where a run has seen all its pictures. The folder stays after success:
it makes a second run cheap and tells results from pictures.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from dip_batch.lock import FolderLock
from dip_batch.names import shown
from dip_batch.plan import Item
from dip_batch.walk import RESULTS_FOLDER
from dip_engine.errors import OutputError
from dip_engine.job import Job

_HOW_NOT_WHAT = ("device", "threads", "preview_seconds", "preview_side")


@dataclass(frozen=True, slots=True)
class Stamp:
    """Identifies a picture as it is now, and what is to be done to it.

    Attributes:
        input: absolute path.
        size: bytes.
        mtime_ns: time of the last change.
        fingerprint: of the task, its settings, and the files it needs besides.
    """

    input: str
    size: int
    mtime_ns: int
    fingerprint: str

    @classmethod
    def of(cls, job: Job) -> Stamp:
        """Return the stamp of a job.

        Raises:
            OSError: the picture, or a file it needs besides, is gone.
        """
        stat = job.input.stat()
        return cls(str(job.input), stat.st_size, stat.st_mtime_ns, _fingerprint(job))


@dataclass(frozen=True, slots=True)
class Entry:
    """A picture that an earlier run restored.

    Attributes:
        stamp: of its input then.
        result: JSON values of the engine's `Result`.
        open: the run that restored it was interrupted, and none has seen all pictures since.
    """

    stamp: Stamp
    result: dict[str, Any]
    open: bool


class Journal:
    """The journal of one folder of results."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.path = root / RESULTS_FOLDER / "journal.jsonl"
        self._lock = FolderLock(self.path.with_name("lock"))
        self._file: IO[bytes] | None = None
        self._torn = False

    def read(self) -> dict[str, Entry]:
        """Return what is done, by the output's path relative to the folder of results.

        Lines that cannot be read, such as a last one that was torn by a crash, are passed over.
        """
        entries: dict[str, Entry] = {}
        try:
            text = self.path.read_text(encoding="utf-8", errors="replace")
        except (FileNotFoundError, NotADirectoryError):
            return entries
        for line in text.splitlines():
            try:
                record = json.loads(line)
                if record["event"] == "picture":
                    stamp = Stamp(**record["stamp"])
                    entries[record["output"]] = Entry(stamp, dict(record["result"]), open=True)
                elif record["event"] == "end":
                    entries = {k: Entry(e.stamp, e.result, False) for k, e in entries.items()}
            except (ValueError, TypeError, KeyError):
                continue
        return entries

    @contextmanager
    def opened(self) -> Iterator[Journal]:
        """Lock the folder of results and open the journal for writing.

        Raises:
            OutputError: another run is at work there, or the folder cannot be written.
        """
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._lock.acquire()
        except OSError as error:
            raise self._unwritable(error) from error
        try:
            with self._open_file() as self._file:
                yield self
        finally:
            self._file = None
            self._lock.release()

    def record(self, item: Item, stamp: Stamp, result: dict[str, Any]) -> None:
        """Note a finished picture, on the disk when this returns.

        Raises:
            OutputError: the journal cannot be written.
        """
        values = {name: getattr(stamp, name) for name in Stamp.__slots__}
        self._append(
            {"event": "picture", "output": self.key(item), "stamp": values, "result": result}
        )

    def end(self) -> None:
        """Note that a run has seen all its pictures.

        Raises:
            OutputError: the journal cannot be written.
        """
        self._append({"event": "end"})

    def refresh(self) -> None:
        """Show runs on other machines that this one is alive."""
        self._lock.refresh()

    def key(self, item: Item) -> str:
        """Return the name of an output in the journal."""
        return item.output.relative_to(self.root).as_posix()

    def _open_file(self) -> IO[bytes]:
        try:
            # Unbuffered: what failed to be written once must not come back when the file closes.
            file = self.path.open("a+b", buffering=0)
            if file.seek(0, os.SEEK_END) > 0:
                file.seek(-1, os.SEEK_END)
                self._torn = file.read(1) != b"\n"
        except OSError as error:
            raise self._unwritable(error) from error
        return file

    def _append(self, record: dict[str, Any]) -> None:
        assert self._file is not None, "the journal is not open"
        line = (json.dumps(record) + "\n").encode("ascii")
        try:
            if self._torn:
                line = b"\n" + line
            self._torn = self._file.write(line) != len(line)
            os.fsync(self._file.fileno())
        except OSError as error:
            self._torn = True
            raise self._unwritable(error) from error

    def _unwritable(self, error: OSError) -> OutputError:
        return OutputError(
            f"{shown(self.path)} cannot be written ({error.strerror}).",
            "Choose another folder with -o, or make this one writable.",
        )


def _fingerprint(job: Job) -> str:
    values = job.to_json()
    settings = {k: v for k, v in values["settings"].items() if k not in _HOW_NOT_WHAT}
    asked: list[Any] = [job.task, settings, values["mask_color"]]
    for name in ("mask", "guide", "kernel"):
        path: Path | None = getattr(job, name)
        asked.append(values[name])
        if path is not None:
            stat = path.stat()
            asked += [stat.st_size, stat.st_mtime_ns]
    return hashlib.sha256(json.dumps(asked, sort_keys=True).encode("ascii")).hexdigest()[:16]
