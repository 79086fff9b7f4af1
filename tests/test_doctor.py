"""The doctor finds what is broken, says what to do, and calls nothing broken that is not."""

from __future__ import annotations

import importlib
import json
import os
import shutil
import subprocess
import sys
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from types import ModuleType

import pytest

from dip_engine import __version__, doctor, gimp
from dip_engine.client import Engine
from dip_engine.doctor import FAILED, NOTE, OK, Finding, has_failed, to_text


def test_healthy_installation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIMP3_DIRECTORY", str(tmp_path / "none"))
    command = [sys.executable, "-P", "-m", "dip_engine", "doctor", "--json"]
    run = subprocess.run(
        command, check=False, cwd=tmp_path, capture_output=True, text=True, timeout=300
    )
    findings = json.loads(run.stdout)
    assert run.returncode == 0, findings
    found = {finding["name"]: finding for finding in findings}
    assert {"Python", "torch", "OpenImageIO", "pillow", "cpu", "onnxruntime"} <= found.keys()
    assert "restored a picture" in found["engine"]["text"]
    assert not list(tmp_path.iterdir())


def test_text_is_aligned_and_ends_in_a_verdict() -> None:
    fine, note = Finding(OK, "torch", "2.13.0"), Finding(NOTE, "dip-batch", "is not on PATH")
    assert to_text([fine, note]).splitlines() == [
        "ok  torch      2.13.0",
        "--  dip-batch  is not on PATH",
        "",
        "Everything works.",
    ]
    assert not has_failed([fine, note])
    broken = Finding(FAILED, "engine", "is gone")
    assert has_failed([fine, broken])
    assert "Everything works" not in to_text([fine, broken])


def test_failure_ends_in_exit_code_3(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from dip_engine.cli import main

    monkeypatch.setattr(doctor, "examine", lambda: [Finding(FAILED, "engine", "is gone")])
    monkeypatch.setattr(sys, "argv", ["dip-engine", "doctor"])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 3
    assert "!!  engine  is gone" in capsys.readouterr().out


def test_library_that_cannot_be_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(name: str) -> ModuleType:
        if name == "torch":
            raise OSError("libtorch.so: cannot open shared object file")
        return ModuleType(name)

    monkeypatch.setattr(importlib, "import_module", load)
    findings = {finding.name: finding for finding in doctor.check_packages()}
    assert findings["torch"].state == FAILED
    assert "libtorch.so" in findings["torch"].text
    assert findings["numpy"].state == OK


def test_one_check_that_breaks_does_not_hide_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_folder: str) -> None:
        raise PermissionError("no access")

    monkeypatch.setattr(shutil, "disk_usage", broken)
    monkeypatch.setattr(doctor, "Engine", broken)
    findings = doctor.examine()
    assert {"disk", "engine"} <= {f.name for f in findings if f.state == FAILED}
    assert "Python" in {f.name for f in findings if f.state == OK}


@pytest.mark.parametrize(
    ("installed", "state"),
    [
        ({"onnxruntime": "1"}, OK),
        ({"onnxruntime-gpu": "1"}, OK),
        ({"onnxruntime": "1", "onnxruntime-gpu": "1"}, FAILED),
        ({}, FAILED),
    ],
)
def test_onnxruntime_is_there_once(
    monkeypatch: pytest.MonkeyPatch, installed: dict[str, str], state: str
) -> None:
    def version(name: str) -> str:
        try:
            return installed[name]
        except KeyError:
            raise PackageNotFoundError(name) from None

    monkeypatch.setattr(doctor, "version", version)
    (finding,) = doctor.check_onnxruntime()
    assert finding.state == state


def test_providers_are_those_that_run(capfd: pytest.CaptureFixture[str]) -> None:
    assert doctor.running_providers()[-1] == "CPUExecutionProvider"
    assert capfd.readouterr() == ("", "")


def test_looking_for_providers_leaves_nothing_at_home(tmp_path: Path) -> None:
    names = "ORT_DISABLE_TELEMETRY", "XDG_CACHE_HOME"
    environment = {name: value for name, value in os.environ.items() if name not in names}
    code = "from dip_engine import doctor; print(doctor.running_providers())"
    subprocess.run(
        [sys.executable, "-c", code], env=environment | {"HOME": str(tmp_path)}, check=True
    )
    assert not list(tmp_path.rglob("*"))


def test_little_space_is_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    class Usage:
        free = 1000

    monkeypatch.setattr(shutil, "disk_usage", lambda _folder: Usage)
    (finding,) = doctor.check_disk()
    assert finding.state == NOTE
    assert "0.0 GiB" in finding.text


def test_commands_on_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    command = tmp_path / "dip-batch"
    command.write_text("#!/bin/sh\n")
    command.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    found = {finding.name: finding.state for finding in doctor.check_commands()}
    assert found == {"dip-batch": OK, "dip-engine": NOTE}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home folder in which a native GIMP 3.0 was started."""
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.delenv("GIMP3_DIRECTORY", raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / ".config"))
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    (tmp_path / ".config/GIMP/3.0").mkdir(parents=True)
    return tmp_path


def test_plugin_of_gimp(home: Path) -> None:
    plug_ins = home / ".config/GIMP/3.0/plug-ins"
    (finding,) = doctor.check_plugin()
    assert (finding.state, "install-gimp-plugin" in finding.text) == (NOTE, True)
    gimp.install_plugin(plug_ins)
    (finding,) = doctor.check_plugin()
    assert finding.state == OK
    for word in ("3.0 (native)", __version__, str(plug_ins)):
        assert word in finding.text
    gimp.install_plugin(plug_ins, home / "gone/python")
    (finding,) = doctor.check_plugin()
    assert_failed(finding, "gone/python")


@pytest.mark.parametrize("engine", ['"version": "0.0.9"', '"more": 1'])
def test_plugin_of_another_version(home: Path, engine: str) -> None:
    folder = gimp.install_plugin(home / ".config/GIMP/3.0/plug-ins")
    (folder / "engine.json").write_text(f'{{"python": "{sys.executable}", {engine}}}')
    (finding,) = doctor.check_plugin()
    assert_failed(finding, __version__, "0.0.9" if "0.0.9" in engine else "unknown version")


def test_plugins_of_every_gimp(home: Path) -> None:
    profiles = [".config/GIMP/3.2", ".var/app/org.gimp.GIMP/config/GIMP/3.0"]
    profiles += ["snap/gimp/current/.config/GIMP/3.0", "snap/gimp/common/.config/GIMP/3.0"]
    for profile in profiles:
        (home / profile).mkdir(parents=True)
    gimp.install_plugin(home / profiles[1] / "plug-ins")
    gimp.install_plugin(home / profiles[2] / "plug-ins")
    broken = gimp.install_plugin(home / ".config/GIMP/3.0/plug-ins")
    (broken / "engine.json").write_text("{")
    old, newest, flatpak, snap = doctor.check_plugin()
    assert_failed(old, "3.0 (native)", "engine.json")
    assert (newest.state, "3.2 (native)" in newest.text) == (NOTE, True)
    assert (flatpak.state, "3.0 (flatpak)" in flatpak.text) == (OK, True)
    assert (snap.state, "3.0 (snap)" in snap.text) == (OK, True)


def assert_failed(finding: Finding, *words: str) -> None:
    assert finding.state == FAILED
    for word in (*words, "dip-engine install-gimp-plugin --all"):
        assert word in finding.text.replace("Run", "run")


def test_engine_that_does_not_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "Engine", lambda: Engine(["/no/such/python"]))
    (finding,) = doctor.check_engine()
    assert finding.state == FAILED
    assert "/no/such/python" in finding.text
