"""The whole line with the real engine: a scratched photo, and the examples of the README."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import numpy as np
import pytest
from gimp_profile import SHORTCUT
from PIL import Image, ImageDraw
from real_gimp import Gimp
from room import wait_until
from skimage import data
from test_live import IMAGE, SETTINGS, keep, layers_of, nothing_left

README = Path(__file__).parents[2] / "README.md"
SCRATCH = (255, 0, 255)
FIT_SECONDS = 500  # a quiet machine needs less than a tenth of it
LIVE = "Deep Image Prior – Inpaint"

SELECT_THE_SCRATCH = """
image = Gimp.file_load(Gimp.RunMode.NONINTERACTIVE, Gio.File.new_for_path(given["photo"]))
layer = image.get_layers()[0]
color = Gegl.Color.new("#ff00ff")
Gimp.context_set_sample_threshold(0)
image.select_color(Gimp.ChannelOps.REPLACE, layer, color)
Gimp.Selection.grow(image, 1)
Gimp.file_save(Gimp.RunMode.NONINTERACTIVE, image, Gio.File.new_for_path(given["saved"]), None)
"""


@pytest.fixture
def photo(gimp: Gimp, tmp_path: Path) -> Path:
    """A photo with a scratch and a line of text on it; the real engine is what GIMP starts."""
    gimp.use_engine(Path(sys.executable))
    picture = Image.fromarray(data.chelsea()[20:260, 90:410])
    draw = ImageDraw.Draw(picture)
    draw.line([(20, 30), (150, 90), (290, 70)], fill=SCRATCH, width=3)
    draw.line([(60, 220), (200, 130)], fill=SCRATCH, width=2)
    file = tmp_path / "cat.png"
    picture.save(file)
    return file


def truth() -> np.ndarray:
    return np.asarray(data.chelsea()[20:260, 90:410])


def psnr(picture: np.ndarray, reference: np.ndarray, where: np.ndarray) -> float:
    difference = picture[where].astype(float) - reference[where]
    return float(10 * np.log10(255**2 / np.mean(difference**2)))


def test_scratched_photo_in_the_window(gimp: Gimp, photo: Path) -> None:
    saved = photo.with_suffix(".xcf")
    gimp.batch(SELECT_THE_SCRATCH, photo=str(photo), saved=str(saved)).check()
    with gimp.window(saved) as window:
        before = layers_of(window)
        window.key(SHORTCUT)
        window.wait_window(SETTINGS)
        window.key("alt+t", "Down", "alt+p", "Up")  # inpaint, fast
        keep(window, "real-settings.png")
        window.key("alt+o")
        window.wait_window(f"% – {LIVE}")
        keep(window, "real-running.png")
        window.wait_window(f"Done – {LIVE}", FIT_SECONDS)
        keep(window, "real-done.png")
        window.key("alt+b", "Right", "Right", "Right", "Right", "Right", "Right", "Right")
        keep(window, "gimp.webp", LIVE)  # the README shows it
        window.key("alt+i")
        window.wait_gone(LIVE)
        window.wait_window(IMAGE)
        layers = wait_until(lambda: len(layers_of(window)) == 2 and layers_of(window), "a layer")
        keep(window, "real-inserted.png")
        assert layers[1:] == before
        assert layers[0]["name"].startswith("Background – Inpaint (fast, iteration ")
        wait_until(lambda: nothing_left(gimp, window), "the end of engine and folder")
        window.key("ctrl+z")
        wait_until(lambda: layers_of(window) == before, "one step to undo")


PAIRS = """
import math, random
random.seed(0)
width, height = 96, 72
image = new_image(width, height)
waves = [0.4 + 0.3 * math.sin(n % width / 9) * math.cos(n // width / 7)
         for n in range(width * height)]
as_gray = lambda values: bytes(max(0, min(255, round(255 * v))) for v in values for _ in range(3))
gray = new_layer(image, as_gray(waves), name="gray")
red = new_layer(image, bytes([200, 60, 50, 255]) * 60, "RGBA_IMAGE", "red", width=10, height=6,
                x=10, y=30)
same = {"preset": "fast", "iterations": 10}
status, message, values = call("plug-in-deep-image-prior", image, [gray], task="colourise",
                               second_layer=red, **same)
assert status == "success", message
answer["gray"], answer["coloured"] = list(pixels(gray)), list(pixels(values[0]))

dark = new_layer(image, as_gray([v / 3 + random.gauss(0, 0.05) for v in waves]), name="dark")
flash = new_layer(image, as_gray([v + 0.2 for v in waves]), name="flash")
status, message, values = call("plug-in-deep-image-prior", image, [dark], task="flash",
                               second_layer=flash, **same)
assert status == "success", message
answer["dark"], answer["restored"] = list(pixels(dark)), list(pixels(values[0]))
"""


def test_second_layers(gimp: Gimp) -> None:
    gimp.use_engine(Path(sys.executable))
    answer = gimp.batch(PAIRS, timeout=FIT_SECONDS).check()
    layers = {name: np.reshape(values, (72, 96, 3)) for name, values in answer.items()}
    gray, coloured = layers["gray"][..., 0], layers["coloured"]
    red, green, blue = np.moveaxis(coloured, 2, 0)
    np.testing.assert_allclose(0.299 * red + 0.587 * green + 0.114 * blue, gray, atol=1.5)
    assert (red - green)[30:36, 10:20].min() > 20  # under the stroke
    noise, rest = (np.abs(layers[name][..., 0] - gray / 3).mean() for name in ("dark", "restored"))
    assert rest < 0.6 * noise


def example(language: str, word: str) -> str:
    """Return the README's block of code in a language that has a word in it."""
    blocks = re.findall(rf"```{language}\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    (block,) = (block for block in blocks if word in block)
    return str(block)


def test_readme_python(gimp: Gimp, photo: Path) -> None:
    photo.with_name("fill.py").write_text(example("python", "lookup_procedure"))
    damaged = truth().copy()
    damaged[81:91, 102:158] = SCRATCH
    Image.fromarray(damaged).save(photo.with_name("scan.png"))
    gimp.shell(example("bash", "fill.py"), photo.parent, timeout=FIT_SECONDS).check()
    restored = np.asarray(Image.open(photo.with_name("filled.png")).convert("RGB"))
    inside = np.zeros(restored.shape[:2], bool)
    inside[80:92, 100:160] = True
    np.testing.assert_array_equal(restored[~inside], damaged[~inside])
    assert psnr(restored, truth(), inside) > 22
    assert psnr(damaged, truth(), inside) < 10


def test_readme_script_fu(gimp: Gimp, photo: Path) -> None:
    line = example("bash", "plug-in-script-fu-eval")
    noisy = truth() + np.random.default_rng(0).normal(0, 25, truth().shape)
    noisy = np.rint(noisy.clip(0, 255)).astype(np.uint8)
    Image.fromarray(noisy).save(photo.with_name("noisy.png"))
    gimp.shell(line, photo.parent, timeout=FIT_SECONDS).check()
    restored = np.asarray(Image.open(photo.with_name("restored.png")).convert("RGB"))
    everywhere = np.ones(restored.shape[:2], bool)
    assert psnr(restored, truth(), everywhere) > psnr(noisy, truth(), everywhere) + 7
