"""Fixtures for tests in a real GIMP: every test runs in each GIMP that can be had here.

Without one they are skipped. ``DIP_GIMP=require`` makes that a failure for the release of Debian
that is the gate; testing moves, and may be broken any day.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from gimp_profile import copy_profile, install, keep_profile, write_profile
from gimp_root import GATE, SUITES, NoRoot, Root, find_root
from PIL import Image
from real_gimp import Gimp

FIRST_SECONDS = 1500  # the first test of a suite may have to make its root


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "gimp: runs in a real GIMP 3")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "root" in getattr(item, "fixturenames", ()):
            item.add_marker("gimp")
            item.add_marker(pytest.mark.timeout(FIRST_SECONDS))


@pytest.fixture(scope="session", params=list(SUITES))
def root(request: pytest.FixtureRequest) -> Root:
    """A root folder with a GIMP."""
    try:
        return find_root(request.param)
    except NoRoot as error:
        if request.param == GATE and os.environ.get("DIP_GIMP") == "require":
            pytest.fail(str(error), pytrace=False)
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def template(root: Root, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A profile with our plug-in, which GIMP has already asked what it offers."""
    folder = tmp_path_factory.mktemp(f"template-{root.suite}")
    gimp = Gimp(root, folder, folder / "profile")
    started = root.folder / "profile"  # without our plug-in; it goes when the root goes
    if started.exists():
        shutil.copytree(started, gimp.profile)
    write_profile(gimp.profile, root.version)
    if not started.exists():
        gimp.batch("").check()
        keep_profile(gimp.profile, started)
    install(gimp.profile)
    gimp.batch("").check()
    return gimp.profile


@pytest.fixture
def gimp(root: Root, template: Path, tmp_path: Path) -> Gimp:
    """A GIMP with our plug-in, a fresh profile and the made-up engine."""
    return Gimp(root, tmp_path, copy_profile(template, tmp_path / "profile"))


@pytest.fixture
def profile(gimp: Gimp) -> Path:
    """The profile of that GIMP."""
    return gimp.profile


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    """A small colourful picture for GIMP to open."""
    across, down = np.meshgrid(np.arange(320), np.arange(240))
    colors = np.stack(
        [across * 255 // 319, down * 255 // 239, (across // 16 + down // 16) % 2 * 255]
    )
    file = tmp_path / "picture.png"
    Image.fromarray(np.moveaxis(colors, 0, 2).astype(np.uint8)).save(file)
    return file
