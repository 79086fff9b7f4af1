"""Real photos with known noise, to try the program on.

They ship inside scikit-image and are free of rights: the astronaut is NASA's and in the public
domain; camera, cat and coffee were put under CC0 by their photographers (Lav Varshney, Stefan van
der Walt, Rachel Michetti).
"""

from __future__ import annotations

from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

from dip_engine.errors import OutputError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

# Crops, so that all four are restored in a few minutes without a GPU.
_HEIGHT, _WIDTH = 256, 320
_SEED = 25


@dataclass(frozen=True, slots=True)
class Sample:
    """A photo of scikit-image and the corner of the part that is shown.

    Attributes:
        name: of the file, without its suffix.
        source: name of the function in `skimage.data`.
        top, left: pixels cut off above and on the left.
    """

    name: str
    source: str
    top: int
    left: int


SAMPLES = (
    Sample("astronaut", "astronaut", 0, 100),
    Sample("camera", "camera", 30, 110),
    Sample("cat", "chelsea", 12, 75),
    Sample("coffee", "coffee", 85, 140),
)


def clean_sample(sample: Sample) -> npt.NDArray[np.uint8]:
    """Return a sample without noise: 256×320 or 256×320×3, 8 bit."""
    import numpy as np
    import skimage.data

    photo: npt.NDArray[np.uint8] = np.asarray(getattr(skimage.data, sample.source)())
    return photo[sample.top : sample.top + _HEIGHT, sample.left : sample.left + _WIDTH]


def noisy_sample(sample: Sample, sigma: float) -> npt.NDArray[np.uint8]:
    """Return a sample with white Gaussian noise, rounded and clipped like a camera's 8 bits.

    The noise is the same in every run.

    Args:
        sample: one of `SAMPLES`.
        sigma: standard deviation of the noise in 8-bit levels.
    """
    import numpy as np

    photo = clean_sample(sample)
    random = np.random.default_rng((_SEED, SAMPLES.index(sample)))
    noisy = photo + random.normal(0.0, sigma, photo.shape)
    return np.clip(np.rint(noisy), 0, 255).astype(np.uint8)


def write_samples(folder: Path, sigma: float = 25.0) -> dict[Path, bool]:
    """Write the noisy samples as PNG files; files that are there are left as they are.

    Args:
        folder: it is made if need be.
        sigma: standard deviation of the noise in 8-bit levels.

    Returns:
        Every sample's file, and whether it was written now.

    Raises:
        OutputError: the folder or a file cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return {
            (file := folder / f"{sample.name}.png"): _write_new(file, noisy_sample(sample, sigma))
            for sample in SAMPLES
        }
    except OSError as error:
        raise OutputError(
            f"The samples cannot be written to {folder}: {error.strerror or error}.",
            "Choose a folder that is writable and has some space.",
        ) from error


def _write_new(file: Path, pixels: npt.NDArray[np.uint8]) -> bool:
    """Write a file that does not exist yet, whole or not at all; False if it is there."""
    from PIL import Image

    png = BytesIO()
    Image.fromarray(pixels).save(png, "PNG")
    try:
        stream = file.open("xb")
    except FileExistsError:
        return False
    try:
        with stream:
            stream.write(png.getbuffer())
    except BaseException:
        file.unlink(missing_ok=True)
        raise
    return True
