"""Make the pictures of the README: before and after, one for each task.

    python tests/benchmarks/showcase.py --out .github [--only deblur] [--preset balanced]

The photos are those that ship with scikit-image; the damage is made here. Left what the program was
given, right what it made of it.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import numpy as np
from PIL import Image, ImageDraw
from scipy import ndimage
from skimage import data

from dip_engine import Job, Settings, blur, restore
from dip_engine.colours import luminance
from dip_engine.tasks import PRESETS

Array = np.ndarray[Any, np.dtype[Any]]

SIDE = 256  # pixels of each half
GAP = 4
FRAMES, FRAME_SIDE, FRAMES_PER_SECOND = 12, 176, 8
QUALITY = 84  # of WebP


class Damage:
    """Writes a task's input into a folder.

    Attributes:
        folder: for the files.
        settings: what the task is told.
        files: mask or guide.
    """

    def __init__(self, folder: Path, preset: str) -> None:
        self.folder = folder
        self.settings: dict[str, Any] = {"preset": preset}
        self.files: dict[str, Path] = {}
        self.random = np.random.default_rng(0)

    def save(self, name: str, pixels: Array, **options: Any) -> Path:
        """Write a picture (0–255)."""
        path = self.folder / name
        Image.fromarray(np.clip(np.rint(pixels), 0, 255).astype(np.uint8)).save(path, **options)
        return path

    def noise(self, pixels: Array, std: float) -> Array:
        """Add white noise."""
        noisy: Array = pixels + self.random.normal(0, std, pixels.shape)
        return noisy


def _photo(name: str, top: int, left: int, side: int = SIDE) -> Array:
    pixels: Array = np.asarray(getattr(data, name)())[top : top + side, left : left + side]
    return pixels.astype(np.float64)


def _inpaint(damage: Damage) -> Path:
    photo = Image.fromarray(_photo("chelsea", 20, 100).astype(np.uint8))
    mask = Image.new("L", photo.size)
    for picture, colour in ((photo, (255, 255, 255)), (mask, 255)):
        draw = ImageDraw.Draw(picture)
        draw.line([(0, 70), (90, 92), (255, 60)], colour, 5)
        draw.line([(40, 0), (120, 140), (110, 255)], colour, 4)
        draw.line([(255, 150), (180, 190), (20, 200)], colour, 5)
        draw.text((60, 212), "do not copy", colour, font_size=24)
    # What is gray in a mask blends with what was there; here all of it is to go.
    damage.files["mask"] = damage.save("mask.png", 255.0 * (np.asarray(mask) > 0))
    return damage.save("in.png", np.asarray(photo))


def _super_resolution(damage: Damage) -> Path:
    damage.settings["factor"] = 4
    photo = Image.fromarray(_photo("astronaut", 10, 100).astype(np.uint8))
    small = photo.resize((SIDE // 4, SIDE // 4), Image.Resampling.LANCZOS)
    return damage.save("in.png", np.asarray(small))


def _jpeg(damage: Damage) -> Path:
    return damage.save("in.jpg", _photo("coffee", 40, 200), quality=10)


def _deblur(damage: Damage) -> Path:
    damage.settings |= {"blur": "motion", "blur_size": 15.0, "blur_angle": 30.0}
    photo = _photo("camera", 60, 120)
    moved = ndimage.convolve(photo, blur.motion(15, 30), mode="mirror")
    return damage.save("in.png", damage.noise(moved, 2))


def _colourise(damage: Damage) -> Path:
    photo = _photo("coffee", 40, 200)
    gray = luminance(photo)
    strokes = np.repeat(gray[:, :, None], 3, axis=2)
    for _ in range(90):
        top, left = damage.random.integers(0, SIDE - 3), damage.random.integers(0, SIDE - 14)
        strokes[top : top + 3, left : left + 14] = photo[top : top + 3, left : left + 14]
    damage.files["guide"] = damage.save("shown.png", strokes)
    return damage.save("in.png", gray)


def _flash(damage: Damage) -> Path:
    photo = _photo("chelsea", 20, 100)
    x = np.linspace(0, 1, SIDE)[None, :, None]
    lamp = np.array([1.0, 0.8, 0.5]) * (0.25 + 0.5 * x)
    damage.files["guide"] = damage.save("flash.png", np.minimum(photo * 1.15, 255))
    return damage.save("in.png", damage.noise(photo * lamp, 25))


DAMAGES: dict[str, Callable[[Damage], Path]] = {
    "inpaint": _inpaint,
    "super-resolution": _super_resolution,
    "jpeg": _jpeg,
    "deblur": _deblur,
    "colourise": _colourise,
    "flash": _flash,
}


def picture_of(task: str, preset: str, folder: Path) -> Image.Image:
    """Return what a task was given and what it made of it, side by side."""
    damage = Damage(folder, preset)
    given = DAMAGES[task](damage)
    result = folder / "out.png"
    restore(Job(task, given, result, settings=Settings(**damage.settings), **damage.files))
    shown = folder / "shown.png"
    left = Image.open(shown if shown.exists() else given).convert("RGB")
    left = left.resize((SIDE, SIDE), Image.Resampling.NEAREST)
    return _beside(left, Image.open(result).convert("RGB"))


def film(preset: str, folder: Path, target: Path) -> None:
    """Write a film of a noisy clip and its restoration, side by side."""
    frames = folder / "frames"
    frames.mkdir()
    damage = Damage(frames, preset)
    for number in range(FRAMES):
        photo = _photo("astronaut", 10 + number, 90 + 3 * number, FRAME_SIDE)
        damage.save(f"{number:04}.png", damage.noise(photo, 25))
    restored = folder / "restored"
    restore(Job("denoise", frames, restored, settings=Settings(preset=preset)))
    both = [
        _beside(Image.open(path), Image.open(restored / path.name))
        for path in sorted(frames.iterdir())
    ]
    pause = 1000 // FRAMES_PER_SECOND
    both[0].save(
        target, save_all=True, append_images=both[1:], duration=pause, loop=0, quality=QUALITY - 14
    )


def _beside(left: Image.Image, right: Image.Image) -> Image.Image:
    both = Image.new("RGB", (left.width + GAP + right.width, left.height), "white")
    both.paste(left, (0, 0))
    both.paste(right, (left.width + GAP, 0))
    return both


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--out", type=click.Path(exists=True, file_okay=False, path_type=Path), required=True)
@click.option("--only", type=click.Choice([*DAMAGES, "clip"]), help="One of the pictures.")
@click.option("--preset", type=click.Choice(PRESETS), default="balanced", show_default=True)
def main(out: Path, only: str | None, preset: str) -> None:
    """Make the pictures of the README anew."""
    for task in [*DAMAGES, "clip"] if only is None else [only]:
        target = out / f"{task}.webp"
        with tempfile.TemporaryDirectory() as scratch:
            if task == "clip":
                film(preset, Path(scratch), target)
            else:
                picture_of(task, preset, Path(scratch)).save(target, quality=QUALITY, method=6)
        click.echo(f"{target}: {target.stat().st_size // 1000} kB")


if __name__ == "__main__":
    main()
