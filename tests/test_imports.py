"""What is imported when: command lines answer at once, and GIMP's Python never needs torch."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import dip_engine
from dip_engine import gimp

HEAVY = ("torch", "onnxruntime", "skimage", "scipy", "OpenImageIO", "matplotlib", "av")


def modules_after(code: str) -> set[str]:
    """Run code in a fresh Python and return the modules that are loaded in the end."""
    script = f"""
import sys
try:
    {code}
finally:
    sys.stderr.write(" ".join(sys.modules))
"""
    run = subprocess.run(
        [sys.executable, "-P", "-c", script],
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert run.returncode == 0, run.stderr
    return set(run.stderr.split())


@pytest.mark.parametrize(
    "code",
    [
        "import dip_engine",
        "from dip_engine.cli import main; sys.argv[1:] = ['--help']; main()",
        "from dip_engine.cli import main; sys.argv[1:] = ['restore', '--help']; main()",
        "from dip_engine.cli import main; sys.argv[1:] = ['compare', '--help']; main()",
        "import dip_engine.comparison_page",
        "from dip_batch.cli import main; sys.argv[1:] = ['--help']; main()",
    ],
)
def test_no_torch_is_loaded(code: str) -> None:
    assert not modules_after(code).intersection(HEAVY)


def test_client_loads_standard_library_only() -> None:
    # Compared with an empty program: an environment may load things of its own at the start.
    loaded = modules_after("import dip_engine.client") - modules_after("pass")
    packages = {name.partition(".")[0] for name in loaded}
    assert packages - sys.stdlib_module_names == {"dip_engine"}


def test_client_runs_from_the_files_that_go_to_gimp(tmp_path: Path) -> None:
    package = tmp_path / "dip_engine"
    package.mkdir()
    for module in gimp.CLIENT_MODULES:
        shutil.copy(Path(dip_engine.__file__).with_name(f"{module}.py"), package)
    code = f"import sys; sys.path[:0] = [{str(tmp_path)!r}]; import dip_engine.client as c"
    run = subprocess.run(
        # -S: no site-packages at all, as in a Python that has never heard of this program
        [sys.executable, "-I", "-S", "-c", f"{code}; print(c.__file__)"],
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert run.returncode == 0, run.stderr
    assert Path(run.stdout.strip()).parent == package


def test_public_names_exist() -> None:
    for name in dip_engine.__all__:
        assert getattr(dip_engine, name) is not None
    with pytest.raises(AttributeError, match="nonsense"):
        _ = dip_engine.nonsense
