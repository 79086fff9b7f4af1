"""Find the mask that belongs to a picture."""

from __future__ import annotations

from pathlib import Path

from dip_batch.names import natural_key, shown
from dip_batch.walk import is_picture, is_video
from dip_engine.errors import MaskError

MASK_ENDING = "_mask"


class MaskFolder:
    """A folder of masks (white = restore) that mirrors the folder of pictures.

    The mask of ``trip/cat.jpg`` is ``trip/cat.*`` or ``trip/cat_mask.*`` below the folder, with
    any picture suffix; the same full name goes first, then the same stem. The folder may be the
    folder of pictures itself: then only ``cat_mask.*`` counts. The mask of a video may be a video.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._listed: dict[Path, list[Path]] = {}

    def is_mask(self, picture: Path, root: Path) -> bool:
        """Tell whether a file among the pictures of ``root`` is one of the masks."""
        return self._holds_the_pictures(root) and picture.stem.endswith(MASK_ENDING)

    def find(self, relative: Path, root: Path) -> Path:
        """Return the mask of the picture ``root / relative``.

        Raises:
            MaskError: there is none.
        """
        there = self._files_in(self.folder / relative.parent)
        if not is_video(root / relative):
            there = [path for path in there if is_picture(path)]
        if not self._holds_the_pictures(root):
            exact = [path for path in there if path.name == relative.name]
            stem = [path for path in there if path.stem == relative.stem]
            if exact or stem:
                return (exact or stem)[0]
        named = [path for path in there if path.stem == relative.stem + MASK_ENDING]
        if named:
            return named[0]
        wanted = self.folder / relative.parent / f"{relative.stem}{MASK_ENDING}.png"
        raise MaskError(
            f"There is no mask for {shown(root / relative)}.", f"Expected e.g. {shown(wanted)}."
        )

    def _holds_the_pictures(self, root: Path) -> bool:
        return self.folder.resolve() == root.resolve()

    def _files_in(self, folder: Path) -> list[Path]:
        if folder not in self._listed:
            files = folder.iterdir() if folder.is_dir() else ()
            fit = [path for path in files if is_picture(path) or is_video(path)]
            self._listed[folder] = sorted(fit, key=natural_key)
        return self._listed[folder]
