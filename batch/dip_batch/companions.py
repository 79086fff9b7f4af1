"""Find the file that belongs to a picture: its mask, its strokes of colour, its flash picture."""

from __future__ import annotations

from pathlib import Path

from dip_batch.names import natural_key, shown
from dip_batch.walk import is_picture, is_video
from dip_engine.errors import InputError, MaskError


class CompanionFolder:
    """A folder of companions that mirrors the folder of pictures.

    The mask, say, of ``trip/cat.jpg`` is ``trip/cat.*`` or ``trip/cat_mask.*`` below the folder,
    with any picture suffix; the same full name goes first, then the same stem. The folder may be
    the folder of pictures itself: then only ``cat_mask.*`` counts. That of a video may be a video.

    Args:
        folder: where they lie.
        kind: what they are, e.g. ``mask``.
    """

    def __init__(self, folder: Path, kind: str) -> None:
        self.folder = folder
        self.kind = kind
        self._listed: dict[Path, list[Path]] = {}

    def holds(self, picture: Path, root: Path) -> bool:
        """Tell whether a file among the pictures of ``root`` is one of the companions."""
        return self._is_of_pictures(root) and picture.stem.endswith(f"_{self.kind}")

    def find(self, relative: Path, root: Path) -> Path:
        """Return the companion of the picture ``root / relative``.

        Raises:
            InputError: there is none.
        """
        there = self._files_in(self.folder / relative.parent)
        if not is_video(root / relative):
            there = [path for path in there if is_picture(path)]
        if not self._is_of_pictures(root):
            exact = [path for path in there if path.name == relative.name]
            stem = [path for path in there if path.stem == relative.stem]
            if exact or stem:
                return (exact or stem)[0]
        ending = f"{relative.stem}_{self.kind}"
        named = [path for path in there if path.stem == ending]
        if named:
            return named[0]
        wanted = self.folder / relative.parent / f"{ending}.png"
        error = MaskError if self.kind == "mask" else InputError
        raise error(
            f"There is no {self._title} for {shown(root / relative)}.",
            f"Expected e.g. {shown(wanted)}.",
        )

    @property
    def _title(self) -> str:
        return {"flash": "picture with flash", "hints": "picture with strokes"}.get(
            self.kind, self.kind
        )

    def _is_of_pictures(self, root: Path) -> bool:
        return self.folder.resolve() == root.resolve()

    def _files_in(self, folder: Path) -> list[Path]:
        if folder not in self._listed:
            files = folder.iterdir() if folder.is_dir() else ()
            fit = [path for path in files if is_picture(path) or is_video(path)]
            self._listed[folder] = sorted(fit, key=natural_key)
        return self._listed[folder]
