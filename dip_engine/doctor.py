"""Is everything there that a restoration needs? Each check gives findings of one line each."""

from __future__ import annotations

import importlib
import os
import platform
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from dip_engine import __version__, gimp, gimp_profiles
from dip_engine.client import Engine
from dip_engine.errors import DipError, InputError
from dip_engine.job import Job, Settings

OK, NOTE, FAILED = "ok", "--", "!!"

_GIB = 1024**3
_LOW_DISK = 1 * _GIB
# Distribution, and the module that has to be importable.
_PACKAGES = (
    ("torch", "torch"),
    ("numpy", "numpy"),
    ("pillow", "PIL.Image"),
    ("OpenImageIO", "OpenImageIO"),
    ("scikit-image", "skimage"),
)
# The smallest ONNX model there is, y = x for one number: onnxruntime lists providers that cannot
# run here, and only a session tells which ones do.
_IDENTITY = bytes.fromhex(
    "0808"  # ir_version 8
    "3a2f 0a10 0a0178 120179 22084964656e74697479"  # graph; its node Identity from x to y
    "120167"  # name of the graph
    "5a0b 0a0178 1206 0a04 0801 1200"  # input x, a float
    "620b 0a0179 1206 0a04 0801 1200"  # output y, a float
    "4202 100d"  # operators of version 13
)


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found.

    Attributes:
        state: `OK`, `NOTE` (good to know, nothing is broken) or `FAILED`.
        name: what was looked at, one or two words.
        text: what was found, one line.
    """

    state: str
    name: str
    text: str

    def to_dict(self) -> dict[str, str]:
        """Return JSON-ready values."""
        return asdict(self)


def examine() -> list[Finding]:
    """Run all checks; it takes some seconds, because an engine is started. Never raises."""
    checks: tuple[Callable[[], Iterator[Finding]], ...] = (
        check_python,
        check_packages,
        check_devices,
        check_onnxruntime,
        check_disk,
        check_commands,
        check_plugin,
        check_engine,
    )
    findings: list[Finding] = []
    for check in checks:
        try:
            findings += check()
        except Exception as error:  # whatever is broken, the other checks still help
            name = check.__name__.removeprefix("check_")
            findings.append(Finding(FAILED, name, f"{type(error).__name__}: {error}"))
    return findings


def has_failed(findings: list[Finding]) -> bool:
    """Tell whether something is broken that a restoration needs."""
    return any(finding.state == FAILED for finding in findings)


def to_text(findings: list[Finding]) -> str:
    """Return aligned lines and one sentence in the end."""
    width = max(len(finding.name) for finding in findings)
    lines = [f"{f.state}  {f.name:<{width}}  {f.text}" for f in findings]
    broken = sum(finding.state == FAILED for finding in findings)
    last = "Everything works." if not broken else "Lines with !! need care; see above."
    return "\n".join([*lines, "", last])


def check_python() -> Iterator[Finding]:
    """Say which program and Python this is."""
    system = f"{platform.system()} {platform.machine()}"
    yield Finding(OK, "program", f"Deep Image Prior {__version__}")
    yield Finding(OK, "Python", f"{platform.python_version()} on {system}, {sys.executable}")


def check_packages() -> Iterator[Finding]:
    """Look for the libraries, and load them."""
    for package, module in _PACKAGES:
        try:
            importlib.import_module(module)
            yield Finding(OK, package, version(package))
        except (ImportError, OSError, PackageNotFoundError) as error:
            yield Finding(FAILED, package, f"cannot be loaded ({error}); run install.sh again")


def check_devices() -> Iterator[Finding]:
    """List what can do the work, with its memory and the number format it will use."""
    import torch

    from dip_engine.device import list_devices

    for device in list_devices():
        parts = [device.title, device.dtype]
        if device.memory_bytes:
            parts.insert(1, f"{device.memory_bytes / _GIB:.0f} GiB")
        yield Finding(OK, device.name, ", ".join(parts))
    if torch.version.cuda and not torch.cuda.is_available():
        hint = "see nvidia-smi, or save gigabytes with install.sh --torch-index"
        yield Finding(
            NOTE, "cuda", f"torch has CUDA {torch.version.cuda} and no usable GPU; {hint}"
        )


def check_onnxruntime() -> Iterator[Finding]:
    """Find out which providers really run, and whether two packages are in each other's way."""
    installed = {name: _version(name) for name in ("onnxruntime", "onnxruntime-gpu")}
    present = [f"{name} {found}" for name, found in installed.items() if found]
    if not present:
        yield Finding(FAILED, "onnxruntime", "is missing; run install.sh again")
        return
    if len(present) > 1:
        text = "onnxruntime and onnxruntime-gpu overwrite each other; uninstall both, "
        yield Finding(FAILED, "onnxruntime", text + "then run install.sh again")
        return
    providers = ", ".join(name.removesuffix("ExecutionProvider") for name in running_providers())
    yield Finding(OK, "onnxruntime", f"{present[0]}: {providers}")


def running_providers() -> list[str]:
    """Return the names of onnxruntime's providers that can run a model here, best first."""
    # Its official builds write an identifier to the home folder and report to their maker.
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    onnxruntime: Any = importlib.import_module("onnxruntime")  # it has no type stubs
    onnxruntime.set_default_logger_severity(4)  # a provider that is missing is no error here
    # TensorRT complains on stdout, and nobody has it without having CUDA.
    known = onnxruntime.get_available_providers()
    wanted = [name for name in known if not name.startswith("Tensorrt")]
    session = onnxruntime.InferenceSession(_IDENTITY, providers=wanted)
    names: list[str] = session.get_providers()
    return names


def check_disk() -> Iterator[Finding]:
    """Look at the folder of temporary files."""
    folder = tempfile.gettempdir()
    free = shutil.disk_usage(folder).free
    text = f"{folder}, {free / _GIB:.1f} GiB free"
    if free < _LOW_DISK:
        yield Finding(NOTE, "temporary", f"{text}; that is little for large pictures")
    else:
        yield Finding(OK, "temporary", text)


def check_commands() -> Iterator[Finding]:
    """Look for the commands on PATH."""
    for name in ("dip-batch", "dip-engine"):
        if found := shutil.which(name):
            yield Finding(OK, name, found)
        else:
            yield Finding(NOTE, name, "is not on PATH")


def check_plugin() -> Iterator[Finding]:
    """Look for GIMP's plug-in and the engine that it starts, in every profile."""
    profiles = gimp_profiles.find_profiles()
    if not profiles:
        yield Finding(NOTE, "GIMP", gimp_profiles.why_no_profile())
        return
    newest = gimp_profiles.newest_usable(profiles)
    for profile in profiles:
        if gimp.is_installed(profile.plug_ins):
            yield _examine_plugin(profile)
        elif profile in newest:
            text = f"{profile.title} is without the plug-in; run dip-engine install-gimp-plugin"
            yield Finding(NOTE, "GIMP", text)


def _examine_plugin(profile: gimp_profiles.Profile) -> Finding:
    try:
        plugin = gimp.read_plugin(profile.plug_ins)
    except InputError as error:
        return Finding(FAILED, "GIMP", f"{profile.title}: {error}")
    text = f"{profile.title}: plug-in {plugin.version or 'of unknown version'} in {plugin.folder}"
    if plugin.version != __version__:
        text += f" is not of this program, {__version__}"
    elif not plugin.python.exists():
        text += f" looks for {plugin.python}, which is gone"
    else:
        return Finding(OK, "GIMP", text)
    return Finding(FAILED, "GIMP", f"{text}; run dip-engine install-gimp-plugin --all")


def check_engine() -> Iterator[Finding]:
    """Restore a very small picture with a real engine process."""
    import numpy as np
    from PIL import Image

    with tempfile.TemporaryDirectory(prefix="dip-doctor-") as scratch:
        picture, output = Path(scratch, "noisy.png"), Path(scratch, "restored.png")
        noise = np.random.default_rng(0).normal(128.0, 25.0, (32, 32))
        Image.fromarray(np.clip(noise, 0, 255).astype(np.uint8)).save(picture)
        job = Job("denoise", picture, output, settings=Settings(preset="fast", iterations=5))
        began = time.monotonic()
        try:
            with Engine() as engine:
                for _ in engine.run(job):
                    pass
        except DipError as error:
            yield Finding(FAILED, "engine", str(error))
            return
        seconds = time.monotonic() - began
        yield Finding(OK, "engine", f"started and restored a picture in {seconds:.1f} s")


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
