"""The plug-in's plain half: the private folder, the engine's command, requests, the gallery."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from dip_engine.errors import DeviceError, InputError, OutputError
from dip_engine.events import Preview, Result, Snapshot
from dip_engine.tasks import TASKS
from dip_gimp import engine_command as engine
from dip_gimp.gallery import Gallery
from dip_gimp.request import ADVANCED, COMMON, Request, arguments_of
from dip_gimp.scratch import cache_folder, engine_log, run_folder, sweep

VALUES = {
    "task": "denoise",
    "preset": "fast",
    "strength": 50.0,
    "noise-level": 25.5,
    "factor": "2",
    "quality": 0,
    "noise-model": "gaussian",
    "photons": 0.0,
    "blur": "unknown",
    "blur-size": 0.0,
    "blur-angle": 0.0,
    "iterations": 0,
    "seed": 7,
    "device": " cpu ",
    "fit-only": True,
    "second-layer": None,
}


@pytest.mark.skipif(os.name != "posix", reason="rights are those of POSIX")
def test_run_folder_is_private_and_goes_away(tmp_path: Path) -> None:
    with run_folder(tmp_path / "cache") as folder:
        assert folder.stat().st_mode & 0o777 == 0o700
        (folder / "layer.npy").touch()
        with run_folder(tmp_path / "cache") as other:  # another GIMP leaves it alone
            assert other != folder
            assert (folder / "layer.npy").exists()
    assert list((tmp_path / "cache").iterdir()) == []


def test_folder_of_a_killed_run_is_swept(tmp_path: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path; from dip_gimp.scratch import run_folder\n"
        "with run_folder(Path(sys.argv[1])) as folder:\n"
        "    (folder / 'layer.npy').write_bytes(bytes(9)); print(folder, flush=True)\n"
        "    time.sleep(600)"
    )
    owner = subprocess.Popen(
        [sys.executable, "-P", "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert owner.stdout is not None
    with owner.stdout:
        folder = Path(owner.stdout.readline().strip())
        sweep(tmp_path)
        assert (folder / "layer.npy").exists()  # its owner lives
        owner.kill()
        owner.wait()
    assert folder.exists()
    sweep(tmp_path)
    assert not folder.exists()


def test_newborn_folder_without_lock_is_left_alone(tmp_path: Path) -> None:
    for name, age in (("run-new", 0), ("run-old", 3600)):
        (tmp_path / name).mkdir()
        os.utime(tmp_path / name, (time.time() - age, time.time() - age))
    (tmp_path / "engine.log").touch()
    sweep(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"run-new", "engine.log"}


def test_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (
        pytest.raises(OutputError, match="file/cache cannot be used"),
        run_folder(tmp_path / "file/cache"),
    ):
        pass


def test_runs_lie_in_the_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    assert cache_folder({"HOME": "/h"}) == Path("/h/.cache/deep-image-prior")
    sandboxed = {"HOME": "/h", "XDG_CACHE_HOME": "/h/.var/app/org.gimp.GIMP/cache"}
    assert cache_folder(sandboxed).parent == Path("/h/.var/app/org.gimp.GIMP/cache")


def test_long_log_is_begun_anew(tmp_path: Path) -> None:
    log = engine_log(tmp_path)
    log.write_bytes(b"short")
    assert engine_log(tmp_path).read_bytes() == b"short"
    log.write_bytes(bytes(2**20 + 1))
    assert not engine_log(tmp_path).exists()


def write_engine(folder: Path, python: str) -> None:
    (folder / engine.ENGINE_FILE).write_text(json.dumps({"python": python, "version": "1"}))


def test_command_of_the_engine(tmp_path: Path) -> None:
    write_engine(tmp_path, sys.executable)
    command = engine.engine_command(tmp_path)
    assert command[0] == sys.executable
    assert command[-2:] == ["-m", "dip_engine.worker"]


def test_moved_engine_says_what_to_run(tmp_path: Path) -> None:
    write_engine(tmp_path, str(tmp_path / "venv/bin/python"))
    with pytest.raises(DeviceError, match=r"venv/bin/python.*install\.sh"):
        engine.engine_command(tmp_path)


@pytest.mark.parametrize("text", ["", "{}", "[]", "{"])
def test_damaged_engine_file_says_what_to_run(tmp_path: Path, text: str) -> None:
    (tmp_path / engine.ENGINE_FILE).write_text(text)
    with pytest.raises(DeviceError, match=r"engine\.json cannot be read.*install-gimp-plugin"):
        engine.engine_command(tmp_path)


def test_sandbox_starts_the_engine_outside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "in_flatpak", lambda: True)
    write_engine(tmp_path, "/not/seen/from/inside")
    command = engine.engine_command(tmp_path)
    assert command[:4] == ["flatpak-spawn", "--host", "--watch-bus", "/not/seen/from/inside"]
    assert "flatpak override" in engine.start_hint()


def test_request_in_the_units_of_the_engine() -> None:
    request = Request.read(VALUES.__getitem__)
    settings = request.settings
    assert request.task.name == "denoise"
    assert (settings.strength, settings.noise_std) == (0.5, 0.1)
    assert (settings.quality, settings.iterations) == (None, None)
    assert (settings.factor, settings.seed, settings.device) == (4, 7, "cpu")
    assert settings.fit_only
    larger = Request.read({**VALUES, "task": "super-resolution"}.__getitem__)
    assert (larger.settings.factor, larger.settings.noise_std) == (2, None)
    assert Request.read({**VALUES, "noise-level": 0.0}.__getitem__).settings.noise_std is None
    assert (settings.blur, settings.blur_size, settings.blur_angle) == ("unknown", None, 0.0)


def test_request_to_deblur() -> None:
    told = {"task": "deblur", "blur": "motion", "blur-size": 12.5, "blur-angle": -30.0}
    settings = Request.read({**VALUES, **told}.__getitem__).settings
    assert (settings.blur, settings.blur_size, settings.blur_angle) == ("motion", 12.5, -30.0)


@pytest.mark.parametrize("task", ["colourise", "flash"])
def test_request_with_a_second_layer(task: str) -> None:
    second = object()
    told = {"task": task, "second-layer": second}
    assert Request.read({**VALUES, **told}.__getitem__).second is second
    assert Request.read(VALUES.__getitem__).second is None


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("task", "nonsense", "no task 'nonsense'"),
        ("preset", "quick", "preset 'quick'"),
        ("blur", "shaken", "blur 'shaken'"),
        ("blur-size", 0.1, "blur_size is 0.1"),
        ("second-layer", object(), "uses no second layer"),
    ],
)
def test_request_that_cannot_be_met(name: str, value: object, text: str) -> None:
    task = "deblur" if name.startswith("blur") else "denoise"
    with pytest.raises(InputError, match=text):
        Request.read({**VALUES, "task": task, name: value}.__getitem__)


def test_a_task_shows_what_matters_for_it() -> None:
    for task in TASKS:
        shown = arguments_of(task)
        assert set(COMMON) | set(ADVANCED) <= set(shown) <= set(VALUES)
    names = {task.name: set(arguments_of(task)) - set(COMMON) - set(ADVANCED) for task in TASKS}
    assert names["denoise"] == {"noise-level", "noise-model", "photons"}
    assert names["super-resolution"] == {"factor"}
    assert names["inpaint"] == set()
    assert names["jpeg"] == {"quality"}
    assert names["deblur"] == {"blur", "blur-size", "blur-angle", "noise-level"}
    assert names["colourise"] == set()
    assert names["flash"] == {"noise-level"}


def result(iteration: int) -> Result:
    return Result(
        *("out.npy", "inpaint", "fast", "up", 0, "cpu", "float32", 1, 1, 1),
        stop_reason="held-out error stopped falling",
        iterations=300,
        snapshot=iteration,
        psnr=None,
        noise_std=None,
        noise_kind=None,
        seconds=1.0,
    )


def snapshot(index: int, iteration: int, pixels: bytes = b"abc") -> Snapshot:
    return Snapshot(index, iteration, f"{index}.npy", None, 1, 1, pixels)


def test_gallery_keeps_the_order_of_the_iterations() -> None:
    gallery = Gallery()
    for index in range(4):
        gallery.snapshot(snapshot(index, 100 * index))
    gallery.preview(Preview(250, 1, 1, b"fin"))
    gallery.result(result(200))
    assert [entry.iteration for entry in gallery.entries] == [0, 100, 200, 200, 300]
    assert gallery.automatic == 3
    chosen = gallery.entries[3]
    assert chosen.path == Path("out.npy")
    assert chosen.shown.pixels == b"fin"
    assert [e.label for e in gallery.entries[:2]] == ["start, without the network", "iteration 100"]


def test_snapshot_of_a_later_tile_replaces_the_earlier() -> None:
    gallery = Gallery()
    gallery.snapshot(snapshot(0, 0))
    gallery.snapshot(snapshot(1, 100))
    gallery.snapshot(snapshot(1, 100, b"new"))
    assert [entry.shown.pixels for entry in gallery.entries] == [b"abc", b"new"]
