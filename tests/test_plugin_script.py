"""What the plug-in tells GIMP, and what it answers, with made-up bindings."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fake_gi
import pytest

from dip_engine.errors import InputError, ProtocolError
from dip_engine.events import Result, Started
from dip_engine.job import MAX_SEED, Job
from dip_engine.tasks import BLURS, PRESETS, TASKS, find_task


@pytest.fixture
def script() -> Iterator[Any]:
    with fake_gi.installed():
        import deep_image_prior.deep_image_prior as module

        yield module


def run(script: Any, image: Any, drawables: list[Any]) -> list[Any]:
    answer: list[Any] = script.run(
        fake_gi.Procedure(), "NONINTERACTIVE", image, drawables, None, None
    )
    return answer


def test_registration(script: Any) -> None:
    plugin = script.DeepImagePrior()
    assert plugin.do_query_procedures() == ["plug-in-deep-image-prior"]
    procedure = plugin.do_create_procedure("plug-in-deep-image-prior")
    assert procedure.told["set_image_types"] == ("RGB*, GRAY*",)
    assert procedure.told["add_menu_path"] == ("<Image>/Filters/Enhance",)
    assert procedure.told["set_menu_label"] == ("Deep _Image Prior...",)
    assert list(procedure.returned) == ["layer"]
    kinds = {name: kind for name, (kind, _) in procedure.arguments.items()}
    assert kinds == {
        "task": "choice",
        "preset": "choice",
        "strength": "double",
        "noise-level": "double",
        "factor": "choice",
        "quality": "int",
        "noise-model": "choice",
        "photons": "double",
        "blur": "choice",
        "blur-size": "double",
        "blur-angle": "double",
        "iterations": "int",
        "seed": "int",
        "device": "string",
        "fit-only": "boolean",
        "second-layer": "layer",
    }
    assert list(procedure.arguments["task"][1][2]) == [task.name for task in TASKS]
    assert list(procedure.arguments["preset"][1][2]) == list(PRESETS)
    assert list(procedure.arguments["blur"][1][2]) == list(BLURS)
    assert procedure.arguments["seed"][1][2:4] == (0, MAX_SEED)


def test_defaults_are_a_request_the_engine_takes(script: Any) -> None:
    from dip_gimp.request import Request

    procedure = script.DeepImagePrior().do_create_procedure("x")
    # The default of an argument stands before its flags; a layer has none.
    defaults = {name: rest[-2] for name, (_, rest) in procedure.arguments.items()}
    request = Request.read({**defaults, "second-layer": None}.__getitem__)
    assert request.task is TASKS[0]
    assert request.settings.noise_std is None
    assert request.settings.iterations is None
    assert request.settings.strength == 1
    assert not request.settings.fit_only


def test_mnemonics_of_the_dialog_do_not_collide(script: Any) -> None:
    procedure = script.DeepImagePrior().do_create_procedure("x")
    nicks = [rest[0] for _, rest in procedure.arguments.values()]
    # GIMP's own buttons: Reset, Load and Save settings, Cancel; ours: Restore, Advanced.
    keys = [nick[nick.index("_") + 1].lower() for nick in nicks] + list("rlsc") + list("oa")
    assert len(keys) == len(set(keys))


def test_second_layer_is_named_after_the_task(script: Any) -> None:
    from dip_gimp.second_layer import wanted

    names = {task.name: wanted(task) for task in TASKS if task.guide}
    assert names == {"colourise": "layer with strokes of colour", "flash": "layer taken with flash"}


def second_layer(task: str, second: Any, *, gray: bool = False) -> Any:
    """Pair a layer of 16×12 pixels at (4, 2) with another one."""
    from dip_gimp.second_layer import SecondLayer

    kind = find_task(task)
    assert kind is not None
    first = fake_gi.Item("gray" if gray else "layer", image=IMAGE, box=(4, 2, 16, 12))
    return SecondLayer(IMAGE, first, second, kind)


IMAGE = fake_gi.Image()


@pytest.mark.parametrize("task", ["colourise", "flash"])
@pytest.mark.parametrize(
    ("second", "sentence"),
    [
        (None, "needs a second layer: the layer"),
        (fake_gi.Item(image=IMAGE), "“Sky” cannot be its own second layer"),
        (fake_gi.Item(number=2, image=fake_gi.Image(number=2)), "is in another image"),
        (fake_gi.Item(number=2, valid=False), "is no longer there"),
    ],
)
def test_second_layer_that_cannot_be_used(
    script: Any, task: str, second: Any, sentence: str
) -> None:
    with pytest.raises(InputError, match=sentence) as caught:
        second_layer(task, second)
    assert caught.value.hint


def test_gray_image_cannot_hold_colours(script: Any) -> None:
    second = fake_gi.Item(number=2, image=IMAGE)
    with pytest.raises(InputError, match=r"cannot hold colours\. Convert the image to RGB first"):
        second_layer("colourise", second, gray=True)
    second_layer("flash", second, gray=True)


@pytest.mark.parametrize(
    ("task", "alpha", "box", "covers"),
    [
        ("flash", False, (4, 2, 16, 12), True),
        ("flash", True, (0, 0, 30, 30), True),
        ("flash", True, (5, 2, 16, 12), False),
        ("flash", False, (4, 2, 16, 11), False),
        ("colourise", True, (9, 9, 1, 1), True),
        ("colourise", False, (4, 2, 16, 12), True),
        ("colourise", False, (9, 9, 1, 1), False),
    ],
)
def test_what_a_second_layer_has_to_cover(
    script: Any, task: str, alpha: bool, box: tuple[int, int, int, int], covers: bool
) -> None:
    from dip_gimp.box import Box

    second = fake_gi.Item(number=2, image=IMAGE, box=box, alpha=alpha)
    pair = second_layer(task, second)
    if covers:
        pair.check_covers(Box(0, 0, 16, 12))
        return
    with pytest.raises(InputError, match="“Sky” does not cover all that is restored"):
        pair.check_covers(Box(0, 0, 16, 12))


@pytest.mark.parametrize(
    ("kinds", "sentence"),
    [
        ([], "No layer is selected."),
        (["layer", "layer"], "2 layers are selected."),
        (["group"], "“Sky” is a group of layers."),
        (["layer_mask"], "A layer mask is selected"),
        (["channel"], "“Sky” is a channel"),
        (["floating_sel"], "A floating selection"),
        (["text_layer"], "“Sky” is a text layer."),
        (["vector_layer"], "“Sky” is a vector layer."),
    ],
)
def test_what_cannot_be_restored_is_refused(script: Any, kinds: list[str], sentence: str) -> None:
    status, text = run(script, fake_gi.Image(), [fake_gi.Item(kind) for kind in kinds])
    assert status == "EXECUTION_ERROR"
    assert text.startswith(sentence)
    assert text.count(".") >= 2 or kinds == []  # a hint follows


def test_images_that_cannot_be_restored(script: Any) -> None:
    item = fake_gi.Item()
    assert "palette" in run(script, fake_gi.Image("INDEXED"), [item])[1]
    assert "no longer open" in run(script, fake_gi.Image(valid=False), [item])[1]
    gone = fake_gi.Item(valid=False)
    assert "no longer there" in run(script, fake_gi.Image(), [gone])[1]


def test_missing_engine_says_what_to_run(script: Any) -> None:
    # The source folder has no engine.json; the installer writes it.
    assert not Path(script.__file__).with_name("engine.json").exists()
    status, text = run(script, fake_gi.Image(), [fake_gi.Item()])
    assert status == "EXECUTION_ERROR"
    assert "engine.json cannot be read" in text
    assert "install.sh" in text


def test_unexpected_exception_is_told_too(
    script: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: Any) -> None:
        raise ZeroDivisionError("so there")

    monkeypatch.setattr(script, "only_layer", fail)
    assert run(script, fake_gi.Image(), []) == ["EXECUTION_ERROR", "ZeroDivisionError: so there"]
    assert "Traceback" in capsys.readouterr().err  # in GIMP's own log


def follow(tmp_path: Path, name: str) -> tuple[list[Any], list[Any]]:
    """Follow the job of a made-up engine to its end; return its events and errors."""
    from dip_gimp.follower import Follower

    (tmp_path / name).write_bytes(b"pixels")
    job = Job("denoise", tmp_path / name, tmp_path / "out.png")
    engine = [sys.executable, "-P", str(Path(__file__).with_name("batch_engine.py"))]
    command = [*engine, str(tmp_path / "log"), "0.1"]
    events: list[Any] = []
    ends: list[Any] = []
    with Follower(command, job, tmp_path / "engine.log", events.append, ends.append):
        while not ends:
            fake_gi.IDLE.get(timeout=60)()
    return events, ends


def test_follower_hands_events_to_the_main_loop(script: Any, tmp_path: Path) -> None:
    events, ends = follow(tmp_path, "fine.png")
    assert isinstance(events[0], Started)
    assert isinstance(events[-1], Result)
    assert ends == [None]


def test_follower_hands_errors_to_the_main_loop(script: Any, tmp_path: Path) -> None:
    events, ends = follow(tmp_path, "crash.png")
    assert isinstance(events[0], Started)
    assert "was killed by SIGKILL" in ends[0].sentence


def test_words_of_the_command_line_become_those_of_gimp(script: Any) -> None:
    from dip_gimp.assignment import Assignment

    assignment = object.__new__(Assignment)
    assignment.layer_name, assignment.second = "Sky", None
    assignment.job = Job("denoise", Path("/x/layer.npy"), Path("/x/out.npy"))
    error = InputError("/x/layer.npy has 3 pixels that are not finite.", "None of --noise-level.")
    told = assignment.readable(error)
    assert isinstance(told, InputError)
    assert str(told) == "“Sky” has 3 pixels that are not finite. None of “Noise level”."
    dead = ProtocolError("The engine ended with exit code 1 before it was ready.")
    assert "install.sh" in str(assignment.readable(dead, started=False))
    assert "install.sh" not in str(assignment.readable(dead))
