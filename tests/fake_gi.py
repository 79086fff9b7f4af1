"""As much of GIMP's Python bindings as the plug-in's decisions need, for machines without GIMP.

Pixels and windows are for the real one (tests/gimp); here are registration, refusals and answers.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from queue import SimpleQueue
from types import ModuleType, SimpleNamespace
from typing import Any
from unittest import mock

# What waits for the main loop.
IDLE: SimpleQueue[Callable[[], Any]] = SimpleQueue()


class Item:
    """A layer, group, mask or channel of an image.

    Args:
        kind: what it says it is: ``layer``, ``group``, ``layer_mask``, ``channel``, or a layer
            that is ``gray``, a ``text_layer``, ``vector_layer``, ``link_layer`` or
            ``floating_sel``.
        valid: still there.
        number: no other item has it.
        image: where it is.
        box: offsets and size.
        alpha: it has an alpha channel.
    """

    def __init__(
        self,
        kind: str = "layer",
        *,
        valid: bool = True,
        number: int = 1,
        image: Image | None = None,
        box: tuple[int, int, int, int] = (0, 0, 16, 12),
        alpha: bool = True,
    ) -> None:
        self.kind, self.valid = kind, valid
        self.number, self.image = number, image
        self.box, self.alpha = box, alpha

    def __getattr__(self, name: str) -> Any:
        if name.startswith("is_") and name != "is_link_layer":  # GIMP 3.0 knows none of these
            return lambda: self.kind == name.removeprefix("is_")
        raise AttributeError(name)

    def is_valid(self) -> bool:
        return self.valid

    def is_layer(self) -> bool:
        return self.kind not in ("layer_mask", "channel")

    def get_name(self) -> str:
        return "Sky"

    def get_id(self) -> int:
        return self.number

    def get_image(self) -> Image | None:
        return self.image

    def get_offsets(self) -> tuple[bool, int, int]:
        return True, *self.box[:2]

    def get_width(self) -> int:
        return self.box[2]

    def get_height(self) -> int:
        return self.box[3]

    def has_alpha(self) -> bool:
        return self.alpha


class Image:
    def __init__(self, base: str = "RGB", *, valid: bool = True, number: int = 1) -> None:
        self.base, self.valid, self.number = base, valid, number

    def get_id(self) -> int:
        return self.number

    def is_valid(self) -> bool:
        return self.valid

    def get_base_type(self) -> str:
        return self.base


class Procedure:
    """Keeps what it is told; its answers are plain lists."""

    def __init__(self) -> None:
        self.arguments: dict[str, tuple[str, tuple[Any, ...]]] = {}
        self.returned: dict[str, Any] = {}
        self.told: dict[str, Any] = {}

    def __getattr__(self, name: str) -> Any:
        if name.startswith("add_") and name.endswith("_argument"):
            kind = name.removeprefix("add_").removesuffix("_argument")
            return lambda key, *rest: self.arguments.update({key: (kind, rest)})
        if name.endswith("_return_value"):
            return lambda key, *rest: self.returned.update({key: rest})
        if name.startswith(("set_", "add_")):
            return lambda *values: self.told.update({name: values})
        raise AttributeError(name)

    def new_return_values(self, status: str, error: Any) -> list[Any]:
        return [status, error]


class Choice(dict[str, str]):
    @classmethod
    def new(cls) -> Choice:
        return cls()

    def add(self, nick: str, _number: int, label: str, _help: str) -> None:
        self[nick] = label


class _Names:
    """An enumeration whose members are their own names."""

    def __getattr__(self, name: str) -> str:
        return name


def _make_gimp() -> SimpleNamespace:
    enumerations = dict.fromkeys(
        ("RunMode", "PDBStatusType", "PDBProcType", "ProcedureSensitivityMask", "ImageBaseType"),
        _Names(),
    )
    return SimpleNamespace(
        **enumerations,
        PlugIn=type("PlugIn", (), {"__gtype__": None}),
        ImageProcedure=SimpleNamespace(new=lambda *_: Procedure()),
        Choice=Choice,
        **dict.fromkeys(("Procedure", "Image", "Drawable", "Layer", "ProcedureConfig"), object),
        ValueArray=object,
        main=lambda *_: None,
    )


@contextmanager
def installed() -> Iterator[None]:
    """Let ``import gi`` find the above; what was imported meanwhile is forgotten afterwards."""
    gi, repository = ModuleType("gi"), ModuleType("gi.repository")
    gi.require_version = lambda *_: None  # type: ignore[attr-defined]
    gi.repository = repository  # type: ignore[attr-defined]
    error = SimpleNamespace(new_literal=lambda _domain, text, _code: text)
    for name, value in {
        "Gimp": _make_gimp(),
        "Gegl": SimpleNamespace(init=lambda _: None, Buffer=object, Rectangle=object),
        "Babl": SimpleNamespace(),
        "GLib": SimpleNamespace(
            Error=error,
            quark_from_string=lambda text: text,
            SOURCE_REMOVE=False,
            idle_add=lambda call, *values: IDLE.put(partial(call, *values)),
        ),
        "GObject": SimpleNamespace(ParamFlags=_Names()),
    }.items():
        setattr(repository, name, value)
    before = set(sys.modules)
    with mock.patch.dict(sys.modules, {"gi": gi, "gi.repository": repository}):
        try:
            yield
        finally:
            for name in set(sys.modules) - before:
                if name.startswith(("dip_gimp", "deep_image_prior", "gi")):
                    sys.modules.pop(name)
                    # "from package import module" would still find it there.
                    package, _, module = name.rpartition(".")
                    if package in sys.modules:
                        vars(sys.modules[package]).pop(module, None)
