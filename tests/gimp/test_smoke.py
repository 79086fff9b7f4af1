"""GIMP starts with the plug-in, without and with a window, and the plug-in reaches an engine."""

from __future__ import annotations

from pathlib import Path

from gimp_profile import PROCEDURE
from gimp_root import SUITES
from gimp_window import EMPTY
from PIL import Image
from real_gimp import Gimp
from screen import SIZE

LOOK = """
procedure = Gimp.get_pdb().lookup_procedure(given["procedure"])
answer["version"] = Gimp.version()
answer["menus"] = procedure.get_menu_paths() if procedure else None
"""

RESTORE = """
image = new_image(3, 2)
layer = new_layer(image, bytes(given["values"]))
answer["status"], answer["message"], _ = call(given["procedure"], image, [layer])
answer["layers"] = [list(pixels(one, "R'G'B' u8")) for one in image.get_layers()]
"""


def test_gimp_knows_the_plugin(gimp: Gimp) -> None:
    done = gimp.batch(LOOK, procedure=PROCEDURE)
    answer = done.check()
    assert answer["menus"] == ["<Image>/Filters/Enhance"]
    assert answer["version"] == gimp.root.version
    assert answer["version"].startswith(SUITES[gimp.root.suite])
    assert done.left == []


def test_gimp_without_a_screen_knows_the_plugin(gimp: Gimp) -> None:
    assert gimp.console(LOOK, procedure=PROCEDURE).check()["menus"]


def test_plugin_reaches_the_made_up_engine(gimp: Gimp) -> None:
    values = list(range(0, 180, 10))
    done = gimp.batch(RESTORE, procedure=PROCEDURE, values=values)
    answer = done.check()
    assert (answer["status"], answer["message"]) == ("success", ""), done.stderr
    assert answer["layers"] == [[255 - value for value in values], values]
    assert done.left == []


def test_script_fu(gimp: Gimp) -> None:
    assert gimp.script_fu("(gimp-version)").code == 0
    assert gimp.script_fu("(no-such-thing)").code != 0


def test_window(gimp: Gimp, picture: Path) -> None:
    with gimp.window(picture) as window:
        (title,) = window.windows()
        assert title.startswith("[picture]")
        assert "1 layer" in title
        assert "320x240" in title
        with Image.open(window.screenshot()) as shot:
            assert shot.size == SIZE
            seen = {color for _, color in shot.convert("RGB").getcolors(2**24) or []}
        with Image.open(picture) as original:
            asked = {color for _, color in original.getcolors(2**24) or []}
        assert len(asked & seen) > len(asked) / 2
        assert window.quit() == 0
        assert window.processes(gimp.root.suite) == []


def test_window_without_an_image(gimp: Gimp) -> None:
    with gimp.window() as window:
        assert window.windows() == [EMPTY]
        assert window.quit() == 0


def test_window_of_a_killed_gimp(gimp: Gimp, picture: Path) -> None:
    with gimp.window(picture) as window:
        window.kill()
        assert window.wait_end() == -9
        assert window.windows() == []


def test_keys_and_clicks_reach_gimp(gimp: Gimp, picture: Path) -> None:
    with gimp.window(picture) as window:
        window.key("ctrl+shift+n")
        dialog = window.wait_window("New Layer")
        window.type_text("typed")
        width, height = window.screen.size(dialog)
        window.click(dialog, width - 50, height - 30)  # OK
        window.wait_window("2 layers")
        assert window.state()[0]["layers"][0]["name"] == "typed"
        window.key("ctrl+z")
        window.wait_window("1 layer")
        assert window.quit() == 0
