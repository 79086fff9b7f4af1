"""The windows in a real GIMP: dialog, live window, stop, scrub, insert, undo, and all that fails.

The made-up engine has iterations of a fiftieth of a second and inverts the picture more and more.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gimp_profile import SHORTCUT
from gimp_window import Window
from PIL import Image
from real_gimp import Gimp
from room import wait_until

IMAGE = "– GIMP"
SETTINGS = "Deep Image Prior"
LIVE = "Deep Image Prior – Denoise"


@pytest.fixture
def window(gimp: Gimp, picture: Path) -> Iterator[Window]:
    with gimp.window(picture) as shown:
        yield shown


def runs(gimp: Gimp) -> list[Path]:
    """Return the private folders of runs."""
    return list((gimp.cache / "deep-image-prior").glob("run-*"))


def engines(window: Window) -> list[str]:
    return window.processes("fake_engine")


def start(window: Window, *, iterations: int, seed: int = 0, keys: str = SHORTCUT) -> None:
    """Fill the dialog with the keyboard alone, and wait for the live window."""
    window.key(*keys.split())
    window.wait_window(SETTINGS)
    window.key("alt+a", "alt+i", "ctrl+a")
    window.type_text(f"{iterations}\t")
    window.key("alt+d", "ctrl+a")
    window.type_text(f"{seed}\t")
    window.key("alt+o")
    window.wait_window(LIVE)


def wait_state(window: Window, state: str) -> None:
    """Wait for what the title of the live window says, e.g. ``Done`` or ``%``."""
    window.wait_window(f"{state} – {LIVE}")


def test_menu_dialog_stop_scrub_insert_undo(gimp: Gimp, window: Window) -> None:
    before = window.state()[0]["layers"]
    start(window, iterations=2000, keys="alt+r h i")  # Filters, Enhance, Deep Image Prior
    wait_state(window, "%")
    assert engines(window)
    assert len(runs(gimp)) == 1
    keep(window, "running.png")
    window.key("alt+s")
    wait_state(window, "Done")
    keep(window, "stopped.png")
    window.key("alt+n", "Home")
    keep(window, "scrubbed.png")
    window.key("alt+i")
    layers = inserted(window)
    assert layers[0]["name"] == "picture.png – Denoise (balanced, iteration 0)"
    assert layers[0]["notes"] == ["deep-image-prior"]
    assert layers[0]["pixels"] == before[0]["pixels"]  # the made-up start is the picture itself
    assert layers[1:] == before  # the original, bit for bit
    wait_until(lambda: nothing_left(gimp, window), "the end of engine and folder")
    window.key("ctrl+z")
    wait_until(lambda: window.state()[0]["layers"] == before, "one step to undo")
    assert window.quit() == 0


def test_insert_while_it_runs_takes_what_is_shown(gimp: Gimp, window: Window) -> None:
    start(window, iterations=2000)
    wait_state(window, "%")
    window.key("alt+i")
    name = inserted(window)[0]["name"]
    iteration = int(name.rpartition(" ")[2].rstrip(")"))
    assert 0 < iteration < 2000
    wait_until(lambda: nothing_left(gimp, window), "the end of engine and folder")


def test_the_end_is_the_automatic_choice(gimp: Gimp, window: Window) -> None:
    start(window, iterations=40)
    wait_state(window, "Done")
    keep(window, "done.png")
    assert has_curve(window)
    window.key("alt+i")
    window.wait_window("2 layers")
    # Ctrl+F: once more with the same values, and no dialog. The observer would be the last filter.
    window.key("ctrl+f")
    window.wait_window("3 layers")
    first = "picture.png – Denoise (balanced, iteration 40)"
    assert [layer["name"] for layer in layers_of(window)] == [
        f"{first} – Denoise (balanced, iteration 40)",
        first,
        "picture.png",
    ]
    wait_until(lambda: nothing_left(gimp, window), "the end of engine and folder")


@pytest.mark.parametrize("way", ["alt+c", "Escape"])
def test_cancel_leaves_nothing(gimp: Gimp, window: Window, way: str) -> None:
    start(window, iterations=3000)
    wait_state(window, "%")
    window.key(way)
    window.wait_gone(LIVE)
    wait_until(lambda: nothing_left(gimp, window), "the end of engine and folder")
    window.wait_window(IMAGE)
    assert [layer["name"] for layer in layers_of(window)] == ["picture.png"]


def test_engine_that_dies_leaves_its_snapshots(gimp: Gimp, window: Window) -> None:
    start(window, iterations=100, seed=13)
    wait_state(window, "Failed")
    assert not engines(window)
    keep(window, "engine-died.png")
    window.key("alt+i")
    assert inserted(window)[0]["name"] == "picture.png – Denoise (balanced, iteration 0)"
    wait_until(lambda: nothing_left(gimp, window), "the end of engine and folder")


def test_engine_that_hangs_is_killed(gimp: Gimp, window: Window) -> None:
    start(window, iterations=100, seed=15)
    wait_state(window, "%")
    window.key("alt+c")
    window.wait_gone(LIVE)
    wait_until(lambda: nothing_left(gimp, window), "the end of engine and folder")


def test_killed_gimp_leaves_no_process_and_the_next_run_sweeps(gimp: Gimp, picture: Path) -> None:
    with gimp.window(picture) as window:
        start(window, iterations=3000)
        wait_state(window, "%")
        window.kill()
        window.wait_end()
        wait_until(lambda: not engines(window), "the engine to end")
        wait_until(lambda: not window.processes("deep_image_prior.py"), "the plug-in to end")
    gimp.batch(
        """
image = new_image(8, 8)
answer["status"] = call("plug-in-deep-image-prior", image, [new_layer(image)])[0]
"""
    ).check()
    assert runs(gimp) == []


def test_killed_plug_in_leaves_no_engine(gimp: Gimp, window: Window) -> None:
    # What the Cancel button of GIMP's own progress bar does.
    start(window, iterations=3000)
    wait_state(window, "%")
    window.room.run("pkill", "-KILL", "-f", "deep_image_prior.py")
    wait_until(lambda: not engines(window), "the engine to end")


def test_image_closed_during_the_run(gimp: Gimp, window: Window) -> None:
    start(window, iterations=3000)
    wait_state(window, "%")
    window.wait_window(IMAGE)
    window.key("ctrl+w")
    window.wait_gone(LIVE)
    wait_until(lambda: nothing_left(gimp, window), "the end of engine and folder")
    window.wait_window("GIMP Message")
    keep(window, "image-closed.png")


def test_moved_engine_says_what_to_run(gimp: Gimp, picture: Path) -> None:
    gimp.use_engine(gimp.folder / "gone" / "python")
    with gimp.window(picture) as window:
        window.key(SHORTCUT)
        window.wait_window("GIMP Message")
        keep(window, "engine-gone.png")
        assert window.screen.find(SETTINGS) is None


def test_without_the_bindings_of_cairo(gimp: Gimp, picture: Path) -> None:
    hidden = gimp.profile / "plug-ins" / "deep_image_prior" / "cairo.py"
    hidden.write_text("raise ImportError('hidden by the test')\n")
    with gimp.window(picture) as window:
        start(window, iterations=30)
        wait_state(window, "Done")
        keep(window, "without-cairo.png")
        assert not has_curve(window)
        window.key("alt+i")
        assert len(inserted(window)) == 2


def test_image_closed_while_the_settings_are_open(gimp: Gimp, window: Window) -> None:
    window.key(SHORTCUT)
    window.wait_window(SETTINGS)
    window.wait_window(IMAGE)
    window.key("ctrl+w")
    window.wait_gone(IMAGE)
    window.wait_window(SETTINGS)
    window.key("alt+o")
    keep(window, "closed-early.png")
    window.key("Escape")
    window.wait_gone(SETTINGS)
    assert "crashed" not in window.log
    assert "Calling error" not in window.log


def test_repeated_enlargement_opens_a_window(gimp: Gimp, window: Window) -> None:
    window.key(SHORTCUT)
    window.wait_window(SETTINGS)
    window.key("alt+t", "Down", "Down", "alt+o")
    window.wait_window("Done – Deep Image Prior – Super-resolution")
    window.key("alt+i")
    window.wait_window("1280x960")
    window.wait_window(IMAGE)
    window.key("ctrl+f")  # of the new image, which is in front
    window.wait_window("5120x3840")


def has_curve(window: Window) -> bool:
    """Look for the curve's blue in the live window."""
    shot = Image.open(window.screenshot(shown=window.wait_window(LIVE))).convert("RGB")
    pixels = np.asarray(shot).astype(int)
    right = pixels[:, pixels.shape[1] * 2 // 3 :]  # left of it the picture has blue of its own
    return bool((np.abs(right - (54, 133, 227)).max(axis=2) < 12).sum() > 50)


def layers_of(window: Window) -> list[dict[str, Any]]:
    layers: list[dict[str, Any]] = window.state()[0]["layers"]
    return layers


def inserted(window: Window) -> list[dict[str, Any]]:
    """Wait for the new layer, and return all."""
    window.wait_gone(LIVE)
    window.wait_window(IMAGE)
    return (
        wait_until(lambda: len(layers_of(window)) == 2 and layers_of(window), "a second layer")
        or []
    )


def nothing_left(gimp: Gimp, window: Window) -> bool:
    return not engines(window) and not runs(gimp)


def keep(window: Window, name: str, part: str | None = None) -> None:
    """Keep a screenshot for people, where the environment names a folder for them.

    Args:
        window: what is on the screen.
        name: of the file, with a suffix.
        part: of the title of the one window to show, or None for the whole screen.
    """
    if folder := os.environ.get("DIP_SCREENSHOTS"):
        shown = None if part is None else window.wait_window(part)
        Image.open(window.screenshot(shown=shown)).save(Path(folder, name), quality=90)
