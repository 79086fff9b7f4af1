"""The installer's decisions, with a stand-in for Python that installs nothing.

The stand-in runs code like the real one, but ``-m venv`` and ``-m pip`` only leave the files that
the installer goes on with, and everything it is asked to do is written into a log.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

# What the installer may use: the tools of any Unix, no Python but the one that a test provides.
TOOLS = (
    *("bash", "sh", "env", "cat", "dirname", "uname", "df", "awk", "mkdir", "rmdir", "readlink"),
    *("rm", "ln", "id", "grep", "cp", "chmod"),
)

# Both end with exit code 7 where the command line contains what the file "fail" says.
COMMAND = r"""#!/bin/bash
echo "${0##*/} $*" >>"$LOG"
[[ ! -e $TEST/fail || $* != *$(<"$TEST/fail")* ]] || exit 7
"""

STAND_IN = (
    COMMAND
    + r"""
case "$*" in
  *"import torch"*) [[ -e ${0%/*}/torch ]] ;;
  *"-m venv"*)
    mkdir -p "${!#}/bin"
    cp "$TEST/tools/python3" "${!#}/bin/python"
    ;;
  *"-m pip"*)
    : >"${0%/*}/torch"
    cp "$TEST/command" "${0%/*}/dip-batch"
    cp "$TEST/command" "${0%/*}/dip-engine"
    ;;
  *" -m "*) ;;
  *) exec "$REAL_PYTHON" "$@" ;;
esac
"""
)


@dataclass
class Machine:
    """A folder that looks like a user's machine to the installer."""

    folder: Path

    def __post_init__(self) -> None:
        self.tools = self.folder / "tools"
        self.tools.mkdir(parents=True)
        for name in TOOLS:
            found = shutil.which(name)
            assert found, name
            (self.tools / name).symlink_to(found)
        self.add_tool("python3", STAND_IN)
        command = self.folder / "command"
        command.write_text(COMMAND)
        command.chmod(0o755)
        self.home = self.folder / "a home"
        self.home.mkdir()
        self.dip_home = self.home / ".local/share/deep-image-prior"
        self.bin = self.home / ".local/bin"
        self.environment = {
            "HOME": str(self.home),
            "PATH": f"{self.tools}:{self.bin}",
            "LOG": str(self.folder / "log"),
            "TEST": str(self.folder),
            "REAL_PYTHON": sys.executable,
        }

    def add_tool(self, name: str, text: str) -> None:
        """Put a program on the PATH, in place of one that may be there."""
        program = self.tools / name
        program.unlink(missing_ok=True)
        program.write_text(text)
        program.chmod(0o755)

    def let_fail(self, words: str) -> None:
        """Make every command with these words in its arguments end with exit code 7."""
        (self.folder / "fail").write_text(words)

    def let_work(self) -> None:
        """Undo `let_fail`."""
        (self.folder / "fail").unlink()

    def install(self, *options: str, script: Path = ROOT / "install.sh") -> tuple[int, str, str]:
        """Run the installer; return its exit code, output and error output."""
        (self.folder / "log").write_text("")
        run = subprocess.run(
            ["bash", str(script), *options],
            check=False,
            env=self.environment,
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=120,
        )
        return run.returncode, run.stdout, run.stderr

    def log(self, word: str) -> list[str]:
        """Return what was asked of the stand-in in the last run, where it contains a word."""
        return [line for line in (self.folder / "log").read_text().splitlines() if word in line]


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path / "a machine")


def assert_refused(answer: tuple[int, str, str], *words: str, code: int = 3) -> None:
    """It ended with that code and one line on stderr."""
    assert answer[0] == code, answer
    assert len(answer[2].splitlines()) == 1, answer[2]
    for word in words:
        assert word in answer[2]


def test_help_and_usage(machine: Machine) -> None:
    code, text, _ = machine.install("--help")
    assert code == 0
    for option in ("--demo", "--test", "--torch-index", "--uninstall", "DIP_HOME"):
        assert option in text
    assert_refused(machine.install("--nonsense"), "--nonsense", "--help", code=2)
    assert_refused(machine.install("--torch-index"), "URL", code=2)
    assert not machine.dip_home.exists()


def test_everything_is_installed(machine: Machine) -> None:
    code, text, errors = machine.install()
    assert (code, errors) == (0, "")
    for name in ("dip-batch", "dip-engine"):
        assert (machine.bin / name).readlink() == machine.dip_home / "venv/bin" / name
    assert machine.log("dip-engine") == [
        "dip-engine install-gimp-plugin --all",
        "dip-engine doctor",
    ]
    assert all("--constraint .constraints.txt" in line for line in machine.log("-m pip"))
    assert not any(" -e " in line or "--editable" in line for line in machine.log("-m pip"))
    assert sorted(os.listdir(machine.dip_home)) == [".installed", "venv"]  # noqa: PTH208
    assert "PATH" not in text.replace("DIP_", "")


def test_second_run_installs_nothing(machine: Machine) -> None:
    machine.install()
    code, _, _ = machine.install()
    assert code == 0
    assert machine.log("-m pip") == machine.log("-m venv") == []
    assert machine.log("dip-engine doctor")


def test_new_code_is_installed_into_the_same_venv(machine: Machine) -> None:
    clone = machine.folder / "a clone"
    clone.mkdir()
    for name in ("install.sh", "pyproject.toml", ".constraints.txt", "README.md"):
        shutil.copy(ROOT / name, clone)
    (clone / "dip_engine").mkdir()
    (clone / "dip_engine/fit.py").write_text("old = True\n")
    assert machine.install(script=clone / "install.sh")[0] == 0
    (clone / "dip_engine/fit.py").write_text("new = True\n")
    assert machine.install(script=clone / "install.sh")[0] == 0
    assert machine.log("-m pip")
    assert not machine.log("-m venv")


@pytest.mark.parametrize("again", [(), ("--test",)])
def test_broken_installation_is_repaired(machine: Machine, again: tuple[str, ...]) -> None:
    machine.let_fail("-m pip")
    code, _, errors = machine.install()
    assert code == 3
    assert "pip failed" in errors
    assert (machine.dip_home / ".incomplete").exists()
    machine.let_work()
    code, text, _ = machine.install(*again)
    assert code == 0
    assert "incomplete" in text
    assert machine.log("-m venv")
    assert not (machine.dip_home / ".incomplete").exists()
    assert not (machine.dip_home / "tmp").exists()


def test_venv_whose_python_is_gone_is_made_anew(machine: Machine) -> None:
    machine.install()
    python = machine.dip_home / "venv/bin/python"
    python.unlink()
    python.symlink_to("/nowhere/python3.11")
    assert machine.install()[0] == 0
    assert machine.log("-m venv")


def test_python_is_missing_or_too_old(machine: Machine) -> None:
    machine.add_tool("python3", "#!/bin/sh\nexit 1\n")
    assert_refused(machine.install(), "Python 3.11", "sudo apt install")
    (machine.tools / "python3").unlink()
    assert_refused(machine.install(), "Python 3.11", "sudo apt install")
    machine.add_tool("python3.12", STAND_IN.replace("tools/python3", "tools/python3.12"))
    assert machine.install()[0] == 0


def test_named_python(machine: Machine) -> None:
    machine.environment["PYTHON"] = "/no/such/python"
    assert_refused(machine.install(), "/no/such/python")
    machine.environment["PYTHON"] = str(machine.tools / "python3")
    assert machine.install()[0] == 0


def test_venv_module_is_missing(machine: Machine) -> None:
    machine.let_fail("import ensurepip")
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    assert_refused(machine.install(), f"sudo apt install python{version}-venv")
    assert not (machine.dip_home / "venv").exists()


def test_disk_is_too_small(machine: Machine) -> None:
    machine.add_tool("df", "#!/bin/sh\necho head\necho 'disk 9000000 1 4000000 1% /'\n")
    assert_refused(machine.install(), "3 GB free", "DIP_HOME")
    assert not (machine.dip_home / "venv").exists()
    assert machine.install("--torch-index", "https://example.org/whl/cpu")[0] == 0


def test_home_is_not_set(machine: Machine) -> None:
    del machine.environment["HOME"]
    assert_refused(machine.install(), "HOME", "DIP_HOME", "DIP_BIN")
    machine.environment |= {"DIP_HOME": "here", "DIP_BIN": "there"}
    assert machine.install()[0] == 0
    link = machine.folder / "there/dip-batch"
    assert link.readlink() == machine.folder / "here/venv/bin/dip-batch"


def test_folders_can_be_chosen_and_path_is_mentioned(machine: Machine) -> None:
    machine.environment["XDG_BIN_HOME"] = str(machine.folder / "x")
    assert f"{machine.folder}/x is not on your PATH" in machine.install()[1]
    machine.environment["DIP_BIN"] = str(machine.folder / "y")
    machine.install()
    assert (machine.folder / "y/dip-engine").is_symlink()


def test_foreign_files_are_not_touched(machine: Machine) -> None:
    machine.bin.mkdir(parents=True)
    mine = machine.bin / "dip-batch"
    mine.write_text("mine")
    assert_refused(machine.install(), str(mine), "DIP_BIN")
    assert mine.read_text() == "mine"
    mine.unlink()
    mine.symlink_to("/nowhere/dip-batch")
    assert_refused(machine.install(), str(mine), "DIP_BIN")
    mine.unlink()
    (machine.dip_home / "venv").mkdir(parents=True)
    assert_refused(machine.install(), "DIP_HOME")
    assert_refused(machine.install("--uninstall"), "Nothing from this program")
    assert (machine.dip_home / "venv").exists()


def test_place_that_cannot_be_written(machine: Machine) -> None:
    (machine.home / ".local").write_text("a file")
    assert_refused(machine.install(), "cannot be created", "DIP_HOME")


def test_other_build_of_torch(machine: Machine) -> None:
    url = "https://example.org/whl/cpu"
    machine.install()
    code, text, _ = machine.install("--torch-index", url)
    assert code == 0
    assert "of another kind" in text
    assert machine.log("-m venv")
    torch, *rest = machine.log("-m pip")
    assert torch.endswith(f"--no-deps --index-url {url} torch")
    assert all("--index-url" not in line.replace("extra-index-url", "") for line in rest)
    machine.install()  # it is remembered
    assert machine.log("-m pip") == []


def test_hint_without_gpu(machine: Machine) -> None:
    if Path("/proc/driver/nvidia/version").exists() or sys.platform != "linux":
        machine.add_tool("nvidia-smi", "#!/bin/sh\nexit 0\n")
        assert "--torch-index" not in machine.install()[1]
        return
    assert "--torch-index" in machine.install()[1]
    machine.install("--uninstall")
    machine.add_tool("nvidia-smi", "#!/bin/sh\nexit 0\n")
    assert "--torch-index" not in machine.install()[1]


def test_demo(machine: Machine) -> None:
    code, text, _ = machine.install("--demo")
    assert code == 0
    assert machine.log("samples") == ["dip-engine samples ./photos"]
    assert machine.log("dip-batch") == ["dip-batch ./photos --task denoise"]
    assert "./photos-restored" in text


def test_checks_run_with_the_test_tools(machine: Machine) -> None:
    machine.install()
    assert machine.install("--test")[0] == 0
    assert any("test]" in line for line in machine.log("-m pip"))
    modules = [line.partition(" -m ")[2].split()[0] for line in machine.log("-P -m")]
    assert modules == ["ruff", "ruff", "mypy", "pytest"]
    machine.install("--test")
    assert machine.log("-m pip") == []


@pytest.mark.parametrize(
    ("options", "failing"),
    [
        ((), "doctor"),
        (("--demo",), "samples"),
        (("--demo",), "--task denoise"),
        (("--test",), "-m mypy"),
        (("--test",), "-m pytest"),
    ],
)
def test_exit_code_is_passed_on(machine: Machine, options: tuple[str, ...], failing: str) -> None:
    machine.let_fail(failing)
    assert machine.install(*options)[0] == 7


def test_plugin_that_cannot_be_installed_is_no_reason_to_stop(machine: Machine) -> None:
    machine.let_fail("install-gimp-plugin")
    code, text, _ = machine.install()
    assert code == 0
    assert "the rest works without it" in text


def test_uninstall(machine: Machine) -> None:
    machine.install()
    machine.install("--torch-index", "https://example.org/whl/cpu")
    foreign = machine.bin / "something-else"
    foreign.touch()
    code, _, errors = machine.install("--uninstall")
    assert (code, errors) == (0, "")
    assert machine.log("dip-engine") == ["dip-engine install-gimp-plugin --uninstall"]
    assert not machine.dip_home.exists()
    assert list(machine.bin.iterdir()) == [foreign]
    assert_refused(machine.install("--uninstall"), "Nothing from this program")


def test_uninstall_keeps_what_is_not_ours(machine: Machine) -> None:
    machine.install()
    mine = machine.dip_home / "mine.txt"
    mine.touch()
    (machine.bin / "dip-batch").unlink()
    (machine.bin / "dip-batch").write_text("mine")
    assert machine.install("--uninstall")[0] == 0
    assert list(machine.dip_home.iterdir()) == [mine]
    assert (machine.bin / "dip-batch").read_text() == "mine"


def test_uninstall_of_a_broken_installation(machine: Machine) -> None:
    machine.let_fail("-m pip")
    machine.install()
    assert machine.install("--uninstall")[0] == 0
    assert not machine.dip_home.exists()


@pytest.mark.parametrize("user", ["0", "1000"])
def test_build_server_runs_away_from_the_home_folder(tmp_path: Path, user: str) -> None:
    clone, tools = tmp_path / "clone", tmp_path / "tools"
    (clone / ".ci").mkdir(parents=True)
    tools.mkdir()
    shutil.copy(ROOT / ".ci/run", clone / ".ci")
    for program, text in (
        (clone / "install.sh", 'echo "$*"; env; mkdir -p "$DIP_HOME" "$DIP_GIMP_ROOTS"'),
        (tools / "id", f"echo {user}"),
        (tools / "apt-get", "exit 0"),
    ):
        program.write_text(f"#!/bin/sh\n{text}\n")
        program.chmod(0o755)
    (tmp_path / "scratch").mkdir()
    environment = {"PATH": f"{tools}:{os.environ['PATH']}", "TMPDIR": str(tmp_path / "scratch")}
    run = subprocess.run(
        [clone / ".ci/run"], check=True, env=environment, capture_output=True, text=True, timeout=60
    )
    option, *lines = run.stdout.splitlines()
    assert option == "--test"
    variables = dict(line.partition("=")[::2] for line in lines)
    for name in ("DIP_HOME", "DIP_BIN", "DIP_GIMP_ROOTS", "GIMP3_DIRECTORY"):
        assert variables[name].startswith(str(tmp_path / "scratch"))
    release = Path("/etc/os-release")
    is_debian = release.exists() and "ID=debian" in release.read_text().splitlines()
    expected = "require" if user == "0" and is_debian else None
    assert variables.get("DIP_GIMP") == expected
    assert not list((tmp_path / "scratch").iterdir())
