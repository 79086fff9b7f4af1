"""Pixels in a real GIMP: every precision, gray and RGB, alpha, offsets, groups, masks, profiles.

The made-up engine inverts what it is asked to restore: everything else has to come back bit for
bit, and what was selected has to be inverted to within the precision of the image.
"""

from __future__ import annotations

from typing import Any

from real_gimp import Gimp

PRECISIONS = [
    f"{depth}_{curve}"
    for depth in ("U8", "U16", "U32", "HALF", "FLOAT", "DOUBLE")
    for curve in ("LINEAR", "NON_LINEAR", "PERCEPTUAL")
]

COMMON = """
import random, struct
from array import array

def rectangle(layer):
    return Gegl.Rectangle.new(0, 0, layer.get_width(), layer.get_height())

def encoded(image, layer, data=None):
    '''The layer in floats of the image's own curve and space, as the engine gets it.'''
    mark = "'" if image.get_precision().value_nick.endswith("non-linear") else "~"
    colors = f"Y{mark}" if layer.is_gray() else f"R{mark}G{mark}B{mark}"
    name = f"{colors}{'A' if layer.has_alpha() else ''} float"
    space = Babl.format_get_space(layer.get_format())
    return array("f", pixels(layer, Babl.get_name(Babl.format_with_space(name, space)))), name

def noise(image, kind, x=0, y=0, **place):
    '''A layer of random values from 0 to 1, alpha too.'''
    layer = new_layer(image, kind=kind, x=x, y=y, **place)
    _, name = encoded(image, layer)
    count = layer.get_width() * layer.get_height() * (4 if "RGBA" in kind else
        3 if "RGB" in kind else 2 if "GRAYA" in kind else 1)
    values = array("f", (random.random() for _ in range(count)))
    space = Babl.format_get_space(layer.get_format())
    buffer = layer.get_buffer()
    full = Babl.get_name(Babl.format_with_space(name, space))
    buffer.set(rectangle(layer), full, values.tobytes())
    buffer.flush()
    del buffer
    return layer

def compare(image, layer, old, new, chosen):
    '''Compare a restored layer with its original: what differs outside of what was chosen, and
    how far the chosen pixels are from being inverted.'''
    width, height = layer.get_width(), layer.get_height()
    depth = len(old) // (width * height)
    before, after = pixels(layer), pixels(new)
    assert before == old, "the original was changed"
    values, name = encoded(image, layer)
    results, _ = encoded(image, new)
    channels = len(values) // (width * height)
    alpha = "A" in name
    outside = changed_alpha = untouched = 0
    error = 0.0
    for place in range(width * height):
        here = slice(place * depth, (place + 1) * depth)
        if not chosen(place % width, place // width):
            outside += before[here] != after[here]
            continue
        if alpha:
            part = depth // channels
            changed_alpha += before[here][-part:] != after[here][-part:]
        untouched += before[here] == after[here]
        for channel in range(channels - alpha):
            at = place * channels + channel
            error = max(error, abs(1 - values[at] - results[at]))
    return {"outside": outside, "alpha": changed_alpha, "untouched": untouched, "error": error}

def restore(image, layer, **arguments):
    status, message, values = call("plug-in-deep-image-prior", image, [layer], **arguments)
    assert status == "success", message
    return values[0]
"""

EVERY_KIND = (
    COMMON
    + """
random.seed(1)
for precision in given["precisions"]:
    for kind in given["kinds"]:
        base = kind.partition("_")[0].removesuffix("A")
        image = new_image(30, 24, base, precision)
        if given["adobe"]:
            image.set_color_profile(Gimp.ColorProfile.new_rgb_adobe())
        layer = noise(image, kind, width=24, height=18, x=5, y=-4)
        old = pixels(layer)
        # The first four rows of the layer lie outside of the image, where nothing can be selected.
        image.select_rectangle(Gimp.ChannelOps.REPLACE, 10, -10, 12, 20)
        new = restore(image, layer, task="denoise")
        facts = compare(image, layer, old, new, lambda x, y: 5 <= x < 17 and 4 <= y < 14)
        facts["offsets"] = list(new.get_offsets())[1:]
        facts["same"] = Babl.get_name(new.get_format()) == Babl.get_name(layer.get_format())
        facts["above"] = [l.get_id() for l in image.get_layers()] == [new.get_id(), layer.get_id()]
        answer[f"{precision} {kind}"] = facts
        image.delete()
"""
)

# How far a value of this depth may be from the exact one; 32-bit values went through floats, and
# linear ones through a curve.
STEP = {"U8": 1 / 255, "U16": 1e-4, "U32": 1e-5, "HALF": 2e-3, "FLOAT": 1e-5, "DOUBLE": 1e-5}


KINDS = ["RGB_IMAGE", "RGBA_IMAGE", "GRAY_IMAGE", "GRAYA_IMAGE"]


def test_every_precision(gimp: Gimp) -> None:
    check_all(gimp, PRECISIONS, KINDS, adobe=False)


def test_other_color_space(gimp: Gimp) -> None:
    some = [name for name in PRECISIONS if name.split("_")[0] in ("U8", "U16", "FLOAT")]
    check_all(gimp, some, KINDS[1:2], adobe=True)


def check_all(gimp: Gimp, precisions: list[str], kinds: list[str], *, adobe: bool) -> None:
    given = {"precisions": precisions, "kinds": kinds, "adobe": adobe}
    answer = gimp.batch(EVERY_KIND, **given).check()
    assert len(answer) == len(kinds) * len(precisions)
    for name, facts in answer.items():
        depth, _, curve = name.split()[0].partition("_")
        # Eight linear bits are coarse near black: a step there is 13 of the perceptual 255.
        coarse = {"U8": 0.06, "U16": 3e-3, "HALF": 2e-3} if curve == "LINEAR" else {}
        assert facts["outside"] == 0, name
        assert facts["alpha"] == 0, name
        assert facts["error"] <= coarse.get(depth, STEP[depth]), name
        assert facts["untouched"] < 30, name  # values near one half stay what they are
        assert facts["offsets"] == [5, -4], name
        assert facts["same"], name
        assert facts["above"], name


PLACES = (
    COMMON
    + """
random.seed(2)
def facts(image, layer, new, old, chosen):
    return compare(image, layer, old, new, chosen)

everything = lambda x, y: True

# No selection: all of the layer.
image = new_image(20, 15)
layer = noise(image, "RGB_IMAGE")
old = pixels(layer)
new = restore(image, layer)
answer["whole"] = facts(image, layer, new, old, everything)
answer["name"] = new.get_name()
answer["note"] = bytes(new.get_parasite("deep-image-prior").get_data()).decode()

# Half of the inverse and half of the original is gray.
gray = restore(image, layer, strength=50.0)
answer["half"] = sorted(set(pixels(gray)))

# A soft selection.
Gimp.context_set_feather(True)
Gimp.context_set_feather_radius(6, 6)
image.select_rectangle(Gimp.ChannelOps.REPLACE, 0, 0, 10, 15)
soft = restore(image, layer)
levels = set()
before, after = pixels(layer), pixels(soft)
for at in range(len(before)):
    levels.add(abs(before[at] - after[at]))
answer["soft levels"] = len(levels)
Gimp.context_set_feather(False)

# In a group, with a layer mask, a mode, an opacity and an offset.
image = new_image(30, 20)
group = Gimp.GroupLayer.new(image, "group")
image.insert_layer(group, None, 0)
bottom = noise(image, "RGBA_IMAGE", name="bottom")
image.reorder_item(bottom, group, 0)
layer = noise(image, "RGBA_IMAGE", width=16, height=12, x=3, y=4, name="inside")
image.reorder_item(layer, group, 0)
layer.add_mask(layer.create_mask(Gimp.AddMaskType.BLACK))
layer.set_mode(Gimp.LayerMode.MULTIPLY)
layer.set_opacity(40)
old = pixels(layer)
new = restore(image, layer)
answer["group"] = facts(image, layer, new, old, everything)
answer["seen"] = [layer.get_visible(), new.get_visible()]
answer["order"] = [item.get_name() for item in group.get_children()]
answer["kept"] = [new.get_mode() == Gimp.LayerMode.MULTIPLY, round(new.get_opacity()),
                  new.get_mask() is not None, list(new.get_offsets())[1:]]

# Wholly transparent pixels are the hole where nothing is selected.
image = new_image(24, 18)
layer = noise(image, "RGBA_IMAGE")
values = bytearray(pixels(layer))
for place in range(24 * 18):
    x, y = place % 24, place // 24
    values[4 * place + 3] = 0 if 6 <= x < 12 and 5 <= y < 9 else 200
buffer = layer.get_buffer()
buffer.set(rectangle(layer), Babl.get_name(layer.get_format()), bytes(values))
buffer.flush()
del buffer
new = restore(image, layer, task="inpaint")
after = pixels(new)
answer["hole"] = sorted({(6 <= p % 24 < 12 and 5 <= p // 24 < 9, after[4 * p + 3])
                         for p in range(24 * 18)})
answer["kept around the hole"] = all(
    after[4 * p : 4 * p + 4] == bytes(values[4 * p : 4 * p + 4]) for p in range(24 * 18)
    if not (6 <= p % 24 < 12 and 5 <= p // 24 < 9))

# What was erased and is selected becomes visible; what is only see-through stays so.
image.select_rectangle(Gimp.ChannelOps.REPLACE, 10, 5, 4, 2)
new = restore(image, layer, task="inpaint")
after = pixels(new)
answer["erased"] = [after[4 * (5 * 24 + x) + 3] for x in (9, 10, 11, 12, 13, 14)]

# An enlargement is a new image; of a selection, its rectangle.
image = new_image(20, 15, "GRAY", "U16_NON_LINEAR")
image.set_resolution(100, 100)
layer = noise(image, "GRAYA_IMAGE")
new = restore(image, layer, task="super-resolution", factor="3")
large = new.get_image()
answer["large"] = [large.get_id() != image.get_id(), large.get_width(), large.get_height(),
                   large.get_precision().value_nick, large.get_resolution()[1], new.is_gray(),
                   new.has_alpha(), len(image.get_layers())]
image.select_rectangle(Gimp.ChannelOps.REPLACE, 2, 3, 5, 4)
new = restore(image, layer, task="super-resolution", factor="2")
answer["large part"] = [new.get_width(), new.get_height()]
corner, _ = encoded(image, layer)
first, _ = encoded(new.get_image(), new)
answer["large corner"] = abs(1 - corner[2 * (3 * 20 + 2)] - first[0])

# Values outside of 0 to 1 in a float image.
image = new_image(8, 8, "RGB", "FLOAT_LINEAR")
layer = new_layer(image, array("f", [v / 50 - 1 for v in range(192)]).tobytes())
old = pixels(layer)
image.select_rectangle(Gimp.ChannelOps.REPLACE, 0, 0, 3, 3)
new = restore(image, layer)
answer["wide"] = facts(image, layer, new, old, lambda x, y: x < 3 and y < 3)

# Filters that do not change the layer for good go with the copy.
image = new_image(8, 8)
layer = noise(image, "RGB_IMAGE")
layer.append_new_filter("gegl:invert-linear", "", Gimp.LayerMode.REPLACE, 1.0) \\
    if hasattr(layer, "append_new_filter") else layer.append_filter(
        Gimp.DrawableFilter.new(layer, "gegl:invert-linear", ""))
new = restore(image, layer)
answer["filters"] = [len(layer.get_filters()), len(new.get_filters())]

# The new layer is the selected one.
image = new_image(8, 8)
layer = noise(image, "RGB_IMAGE")
restore(image, layer)
answer["selected"] = [item.get_name() for item in image.get_selected_layers()]
"""
)


def test_places(gimp: Gimp) -> None:
    answer: dict[str, Any] = gimp.batch(PLACES).check()
    exact = {"outside": 0, "alpha": 0}
    # Outside of 0 to 1 babl's way there and back is not exact: only what is restored goes it.
    for name, most in (("whole", 1 / 255), ("group", 1 / 255), ("wide", 0.02)):
        facts = answer[name]
        assert exact.items() <= facts.items(), name
        assert facts["error"] <= most, name
    assert answer["name"] == "layer – Denoise (balanced, iteration 10)"
    assert '"chosen": "automatically"' in answer["note"]
    assert set(answer["half"]) <= {127, 128}
    assert answer["soft levels"] > 2
    assert answer["order"] == ["inside – Denoise (balanced, iteration 10)", "inside", "bottom"]
    assert answer["seen"] == [False, True]  # together they would multiply twice
    assert answer["kept"] == [True, 40, True, [3, 4]]
    assert answer["hole"] == [[False, 200], [True, 255]]
    assert answer["kept around the hole"]
    assert answer["erased"] == [0, 255, 255, 200, 200, 200]
    assert answer["large"] == [True, 60, 45, "u16-non-linear", 300.0, True, True, 1]
    assert answer["large part"] == [10, 8]
    assert answer["large corner"] < 1e-3
    assert answer["filters"] == [1, 1]
    assert answer["selected"] == ["layer – Denoise (balanced, iteration 10)"]


REFUSALS = (
    COMMON
    + """
def refused(name, image, layers, **arguments):
    count = len(image.get_layers())
    status, message, _ = call("plug-in-deep-image-prior", image, layers, **arguments)
    answer[name] = [status, message, len(image.get_layers()) - count]

image = new_image(16, 12)
layer = noise(image, "RGB_IMAGE")
clear = noise(image, "RGBA_IMAGE", name="clear")
group = Gimp.GroupLayer.new(image, "group")
image.insert_layer(group, None, 0)
mask = layer.create_mask(Gimp.AddMaskType.WHITE)
layer.add_mask(mask)
channel = Gimp.Channel.new(image, "channel", 16, 12, 50.0, Gegl.Color.new("red"))
image.insert_channel(channel, None, 0)
refused("none", image, [])
refused("two", image, [layer, clear])
refused("group", image, [group])
refused("mask", image, [mask])
refused("channel", image, [channel])
refused("no hole", image, [layer], task="inpaint")
opaque = new_layer(image, bytes([9, 99, 199, 255]) * (16 * 12), kind="RGBA_IMAGE")
refused("no transparent pixel", image, [opaque], task="inpaint")
empty = new_layer(image, kind="RGBA_IMAGE")
refused("nothing opaque", image, [empty], task="inpaint")
image.select_rectangle(Gimp.ChannelOps.REPLACE, 0, 0, 16, 12)
refused("all selected", image, [opaque], task="inpaint")
refused("second layer", image, [layer], second_layer=clear)
away = noise(image, "RGB_IMAGE", width=4, height=4, x=100, y=100)
image.select_rectangle(Gimp.ChannelOps.REPLACE, 0, 0, 5, 5)
refused("selection elsewhere", image, [away])
Gimp.edit_copy([layer])
floating = Gimp.edit_paste(layer, False)[0]
refused("floating", image, [floating])
image.delete()

image = new_image(16, 12)
layer = noise(image, "RGB_IMAGE")
image.convert_indexed(Gimp.ConvertDitherType.NONE, Gimp.ConvertPaletteType.GENERATE, 16,
                      False, False, "")
refused("indexed", image, [layer])

image = new_image(4, 4, "RGB", "FLOAT_NON_LINEAR")
layer = new_layer(image, array("f", [float("nan")] * 48).tobytes())
refused("trouble: crash", image, [layer], seed=13)
refused("trouble: memory", image, [layer], seed=14)
"""
)


def test_refusals(gimp: Gimp) -> None:
    answer = gimp.batch(REFUSALS).check()
    sentences = {
        "none": "No layer is selected. Select one in the Layers dialog.",
        "two": "2 layers are selected. Select one of them.",
        "group": "“group” is a group of layers.",
        "mask": "A layer mask is selected, and not its layer.",
        "channel": "“channel” is a channel, not a layer.",
        "no hole": "Nothing is selected. Select what shall be filled, or erase it.",
        "no transparent pixel": "Nothing is selected, and no pixel is transparent.",
        "nothing opaque": "Every pixel of the layer is transparent.",
        "all selected": "All of the layer is selected.",
        "second layer": "The task denoise uses no second layer.",
        "selection elsewhere": "The selection lies outside of the layer.",
        "floating": "A floating selection cannot be restored.",
        "indexed": "The image has a palette. Use Image → Mode → RGB first.",
        "trouble: crash": "The engine was killed by SIGKILL while it worked on “layer”.",
        "trouble: memory": "The picture is too large. Use the preset fast.",
    }
    assert set(answer) == set(sentences)
    for name, (status, message, inserted) in answer.items():
        assert sentences[name] in message, name
        assert status in ("execution-error", "calling-error"), name
        assert inserted == 0, name


def test_broken_engine_says_what_to_run(gimp: Gimp) -> None:
    python = gimp.folder / "python"
    python.write_text("#!/bin/sh\nexit 1\n")
    python.chmod(0o755)
    gimp.use_engine(python)
    message = gimp.batch(
        """
image = new_image(8, 8)
answer["said"] = call("plug-in-deep-image-prior", image, [new_layer(image)])[1]
"""
    ).check()["said"]
    assert "ended with exit code 1 before it was ready" in message
    assert "install.sh" in message
