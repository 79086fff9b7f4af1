"""The doctor finds what is broken, says what to do, and calls nothing broken that is not."""

from __future__ import annotations

import importlib
import json
import shutil
import subprocess
import sys
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from types import ModuleType

import pytest

from dip_engine import doctor, gimp
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


def test_plugin_of_gimp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIMP3_DIRECTORY", str(tmp_path))
    (finding,) = doctor.check_plugin()
    assert (finding.state, "install-gimp-plugin" in finding.text) == (NOTE, True)
    gimp.install_plugin(tmp_path / "plug-ins")
    (finding,) = doctor.check_plugin()
    assert finding.state == OK
    gimp.install_plugin(tmp_path / "plug-ins", tmp_path / "gone/python")
    (finding,) = doctor.check_plugin()
    assert (finding.state, "gone/python" in finding.text) == (FAILED, True)


def test_engine_that_does_not_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "Engine", lambda: Engine(["/no/such/python"]))
    (finding,) = doctor.check_engine()
    assert finding.state == FAILED
    assert "/no/such/python" in finding.text
