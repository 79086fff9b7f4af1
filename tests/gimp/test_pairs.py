"""Tasks with a second layer in a real GIMP: strokes of colour, and a photo taken with flash.

The made-up engine inverts the layer; where a stroke is, the result is the stroke, and with a flash
photo it is that photo. So the result says what of the second layer has arrived, and where.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from gimp_profile import SHORTCUT
from gimp_window import Window
from real_gimp import Gimp
from room import wait_until
from test_layers import COMMON
from test_live import SETTINGS, keep, layers_of

PAIRS = (
    COMMON
    + """
def wrong(image, layer, second, new, *, strokes, chosen=lambda x, y: True, step=1, most=0.005):
    '''Count the pixels of a restored layer that are not what they should be.'''
    width, height = layer.get_width(), layer.get_height()
    _, left, top = layer.get_offsets()
    _, x0, y0 = second.get_offsets()
    (own, name), (after, _), (other, other_name) = (encoded(image, l) for l in (layer, new, second))
    colors = 1 if layer.is_gray() else 3
    size, other_size = colors + ("A" in name), colors + ("A" in other_name)
    count, used = 0, 0
    for place in range(0, width * height, step):
        x, y = place % width, place // width
        here = own[size * place : size * place + colors]
        expected = [1 - value for value in here]
        across, down = x + left - x0, y + top - y0
        if 0 <= across < second.get_width() and 0 <= down < second.get_height():
            at = other_size * (down * second.get_width() + across)
            if not strokes or other_size == colors or other[at + colors] >= 0.5:
                expected = other[at : at + colors]
                used += chosen(x, y)
        if not chosen(x, y):
            expected = here
        count += any(abs(a - b) > most for a, b in
                     zip(after[size * place : size * place + colors], expected, strict=True))
    return [count, used]

random.seed(3)
for name, precision, profile in [("plain", "U8_NON_LINEAR", None),
                                 ("adobe", "U16_NON_LINEAR", Gimp.ColorProfile.new_rgb_adobe()),
                                 ("linear", "FLOAT_LINEAR", None)]:
    image = new_image(30, 24, "RGB", precision)
    if profile:
        image.set_color_profile(profile)
    layer = noise(image, "RGB_IMAGE", width=24, height=18, x=5, y=-4)
    strokes = noise(image, "RGBA_IMAGE", width=7, height=6, x=2, y=3, name="strokes")
    status, message, values = call("plug-in-deep-image-prior", image, [layer], task="colourise",
                                   second_layer=strokes)
    assert status == "success", message
    answer[f"strokes, {name}"] = wrong(image, layer, strokes, values[0], strokes=True)
    flash = noise(image, "RGBA_IMAGE", width=30, height=24, x=0, y=-5, name="flash")
    new = restore(image, layer, task="flash", second_layer=flash)
    answer[f"flash, {name}"] = wrong(image, layer, flash, new, strokes=False)
    answer["note"] = bytes(new.get_parasite("deep-image-prior").get_data()).decode()

# Only the selected part, with its context, is sent: both layers are cut alike.
image = new_image(300, 280)
layer = noise(image, "RGB_IMAGE", width=290, height=270, x=7, y=9)
strokes = noise(image, "RGBA_IMAGE", width=60, height=50, x=230, y=220, name="strokes")
image.select_rectangle(Gimp.ChannelOps.REPLACE, 240, 230, 20, 10)
where = {"chosen": lambda x, y: 240 <= x + 7 < 260 and 230 <= y + 9 < 240, "step": 7}
new = restore(image, layer, task="colourise", second_layer=strokes)
answer["strokes, selected"] = wrong(image, layer, strokes, new, strokes=True, **where)
flash = noise(image, "RGB_IMAGE", width=270, height=270, x=30, y=10, name="flash")
new = restore(image, layer, task="flash", second_layer=flash)
answer["flash, selected"] = wrong(image, layer, flash, new, strokes=False, **where)

# A copy of the layer, painted over, has no transparency.
image = new_image(12, 9)
layer = noise(image, "RGB_IMAGE")
copy = noise(image, "RGB_IMAGE", name="copy")
new = restore(image, layer, task="colourise", second_layer=copy)
answer["copy"] = wrong(image, layer, copy, new, strokes=True)

# Gray photos, and a layer in a group.
image = new_image(12, 9, "GRAY", "U8_LINEAR")
layer = noise(image, "GRAYA_IMAGE")
flash = noise(image, "GRAY_IMAGE", name="flash")
new = restore(image, layer, task="flash", second_layer=flash)
answer["flash, gray"] = wrong(image, layer, flash, new, strokes=False, most=0.06)
image = new_image(12, 9)
layer = noise(image, "RGB_IMAGE")
group = Gimp.GroupLayer.new(image, "group")
image.insert_layer(group, None, 0)
strokes = noise(image, "RGBA_IMAGE", width=5, height=4, x=6, y=4, name="strokes")
image.reorder_item(strokes, group, 0)
new = restore(image, layer, task="colourise", second_layer=strokes)
answer["strokes, in a group"] = wrong(image, layer, strokes, new, strokes=True)
new = restore(image, layer, task="colourise", second_layer=group)
answer["strokes, the group"] = wrong(image, layer, strokes, new, strokes=True)

# Deblurring takes its own settings.
new = restore(image, layer, task="deblur", blur="motion", blur_size=12.5, blur_angle=-30.0)
answer["blur"] = bytes(new.get_parasite("deep-image-prior").get_data()).decode()
"""
)


def test_second_layer_arrives_where_it_lies(gimp: Gimp) -> None:
    answer = gimp.batch(PAIRS).check()
    assert '"second_layer": "flash"' in answer.pop("note")
    blur = answer.pop("blur")
    assert '"blur": "motion", "blur_size": 12.5, "blur_angle": -30.0' in blur
    assert len(answer) == 12
    for name, (wrong, used) in answer.items():
        assert wrong == 0, name
        assert used > 0, name


REFUSALS = (
    COMMON
    + """
def refused(name, image, layer, **arguments):
    count = len(image.get_layers())
    status, message, _ = call("plug-in-deep-image-prior", image, [layer], **arguments)
    answer[name] = [status, message, len(image.get_layers()) - count]

image = new_image(16, 12)
layer = noise(image, "RGB_IMAGE", name="photo")
for task in ("colourise", "flash"):
    refused(f"{task}: none", image, layer, task=task)
    refused(f"{task}: itself", image, layer, task=task, second_layer=layer)
small = noise(image, "RGB_IMAGE", name="small", width=15)
refused("colourise: opaque and small", image, layer, task="colourise", second_layer=small)
refused("flash: small", image, layer, task="flash", second_layer=small)
clear = new_layer(image, kind="RGBA_IMAGE", name="clear")
refused("colourise: clear", image, layer, task="colourise", second_layer=clear)
away = noise(image, "RGBA_IMAGE", name="away", width=5, x=40)
refused("colourise: away", image, layer, task="colourise", second_layer=away)
other = new_image(16, 12)
foreign = noise(other, "RGBA_IMAGE", name="foreign")
refused("colourise: foreign", image, layer, task="colourise", second_layer=foreign)
gray = new_image(16, 12, "GRAY")
photo, strokes = noise(gray, "GRAY_IMAGE"), noise(gray, "GRAYA_IMAGE")
refused("colourise: gray", gray, photo, task="colourise", second_layer=strokes)
refused("deblur: second", image, layer, task="deblur", second_layer=small)
refused("deblur: tiny", image, layer, task="deblur", blur="gaussian", blur_size=0.1)
"""
)


def test_second_layers_that_cannot_be_used(gimp: Gimp) -> None:
    answer = gimp.batch(REFUSALS).check()
    sentences = {
        "colourise: none": "The task colourise needs a second layer: the layer with strokes of "
        "colour. Choose it; if there is none, paint them on a new, transparent layer.",
        "colourise: itself": "“photo” cannot be its own second layer.",
        "colourise: opaque and small": "“small” does not cover all that is restored. Paint the",
        "colourise: clear": "“clear” has no strokes on what is restored. Paint some there.",
        "colourise: away": "“away” has no strokes on what is restored. Paint some there.",
        "colourise: foreign": "The second layer, “foreign”, is in another image. Bring it into",
        "colourise: gray": "A gray image cannot hold colours. Convert the image to RGB first "
        "(Image → Mode → RGB).",
        "flash: none": "The task flash needs a second layer: the layer taken with flash.",
        "flash: itself": "“photo” cannot be its own second layer.",
        "flash: small": "“small” does not cover all that is restored. Move it, or select a part "
        "that it covers together with its surroundings.",
        "deblur: second": "The task deblur uses no second layer.",
        "deblur: tiny": "blur_size is 0.1. Use a value from 0.3 to 200.",
    }
    assert set(answer) == set(sentences)
    for name, (status, message, inserted) in answer.items():
        assert sentences[name] in message, name
        assert status == "execution-error", name
        assert inserted == 0, name


@pytest.fixture
def window(gimp: Gimp, picture: Path) -> Iterator[Window]:
    with gimp.window(picture) as shown:
        yield shown


def names(window: Window) -> list[str]:
    return [layer["name"] for layer in layers_of(window)]


def test_colourise_in_the_window(window: Window) -> None:
    window.key(SHORTCUT)
    window.wait_window(SETTINGS)
    window.key("alt+t", "End", "Up", "alt+o")  # there is no second layer to colourise with
    keep(window, "colourise-without-strokes.png", SETTINGS)
    window.key("Escape")
    window.wait_gone(SETTINGS)
    window.show_main()
    window.key("ctrl+shift+d")
    window.wait_window("2 layers")
    window.key(SHORTCUT)
    window.wait_window(SETTINGS)
    window.key("alt+t", "End", "Up", "alt+a", "alt+i", "ctrl+a")
    window.type_text("20\t")
    window.key("alt+y")
    keep(window, "colourise.png", SETTINGS)
    window.key("alt+o")
    window.wait_window("Done – Deep Image Prior – Colourise")
    window.key("alt+i")
    window.wait_window("3 layers")
    # Ctrl+F: with the same settings, and the same second layer although there are two by now.
    window.key("ctrl+f")
    window.wait_window("4 layers")
    first = "picture.png copy – Colourise (balanced, iteration 20)"
    second = f"{first} – Colourise (balanced, iteration 20)"
    assert names(window) == [second, first, "picture.png copy", "picture.png"]
    # Another task does not stumble over the second layer.
    window.key(SHORTCUT)
    window.wait_window(SETTINGS)
    keep(window, "colourise-again.png", SETTINGS)
    window.key("alt+t", "Home", "alt+o")
    window.wait_window("Done – Deep Image Prior – Denoise")
    window.key("alt+i")
    window.wait_window("5 layers")
    assert "couldn't serialize" not in window.log


def test_settings_of_deblurring(window: Window) -> None:
    window.key(SHORTCUT)
    window.wait_window(SETTINGS)
    window.key("alt+t", "End", "Up", "Up")
    keep(window, "deblur.png", SETTINGS)
    window.key("alt+b", "Down", "Down", "alt+z", "ctrl+a")
    window.type_text("9\t")
    window.key("alt+g", "ctrl+a")
    window.type_text("45\t")
    keep(window, "deblur-motion.png", SETTINGS)
    window.key("alt+o")
    window.wait_window("Done – Deep Image Prior – Deblur")
    window.key("alt+i")
    window.wait_window("2 layers")
    wait_until(lambda: len(names(window)) == 2, "the new layer")
    assert names(window)[0].startswith("picture.png – Deblur (balanced, iteration ")
