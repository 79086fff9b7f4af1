"""What is asked of the engine: frozen, validated, JSON in and out.

Standard library only: the same schema runs inside GIMP's Python. Values are checked once, in
`Job.parse`; everything behind that boundary trusts them.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field, fields
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from dip_engine.errors import InputError
from dip_engine.tasks import (
    BLURS,
    DTYPES,
    FACTORS,
    NETWORKS,
    NOISE_MODELS,
    OPTIMISERS,
    PRESETS,
    TASKS,
    Task,
    find_task,
)

MAX_SEED = 2**31 - 1
_OPTIONAL_PATHS = ("mask", "snapshots", "guide", "kernel", "parts", "uncertainty")


@dataclass(frozen=True, slots=True)
class Settings:
    """How a picture is to be restored.

    Attributes:
        preset: ``fast``, ``balanced``, ``best`` or ``paper``.
        network: overrides the preset's network, or None.
        iterations: a fixed number of iterations without automatic stop, or None.
        noise_std: standard deviation of the noise on the 0–1 scale, or None to estimate it.
        factor: enlargement of super-resolution.
        quality: JPEG quality 1–100 of the input, or None to read it from the file.
        seed: of every random number of the fit.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:1``, ``mps`` …
        dtype: number format of the network: ``auto``, ``float32`` or ``bfloat16``.
        deterministic: bit-for-bit reproducible for a seed (slower).
        time_limit: seconds after which the best picture so far is returned, or None.
        threads: CPU threads, or None for all that are free.
        preview_seconds: least time between two previews; 0 sends none.
        preview_side: longest side of a preview, in pixels.
        strength: 0–1, how much of the restoration goes into the result; the rest is the input.
        noise_model: ``gaussian`` noise is the same everywhere; ``poisson`` noise grows with the
            light, with Gaussian noise of `noise_std` on top.
        photons: that make a pixel of value 1 under Poisson noise, or None to estimate them.
        blur: shape of the blur: ``gaussian``, ``motion``, ``defocus`` or ``unknown``; a kernel in
            the job goes before it.
        blur_size: standard deviation of a Gaussian, length of a motion, radius of a defocused
            disc, or the greatest extent of an unknown blur, in pixels; None for a usual one.
        blur_angle: direction of a motion in degrees, 0 = horizontal, counterclockwise.
        optimiser: ``adam`` or ``sgd``.
        fit_only: the result is the fit alone, without its classical start.
    """

    preset: str = "balanced"
    network: str | None = None
    iterations: int | None = None
    noise_std: float | None = None
    factor: int = 4
    quality: int | None = None
    seed: int = 0
    device: str = "auto"
    dtype: str = "auto"
    deterministic: bool = False
    time_limit: float | None = None
    threads: int | None = None
    preview_seconds: float = 0.0
    preview_side: int = 512
    strength: float = 1.0
    noise_model: str = "gaussian"
    photons: float | None = None
    blur: str = "unknown"
    blur_size: float | None = None
    blur_angle: float = 0.0
    optimiser: str = "adam"
    fit_only: bool = False

    def __post_init__(self) -> None:
        _one_of("preset", self.preset, PRESETS)
        if self.network is not None:
            _one_of("network", self.network, NETWORKS)
        _one_of("dtype", self.dtype, DTYPES)
        if self.factor not in FACTORS:
            raise InputError(f"factor {self.factor} is not offered.", "Choose 2, 3, 4 or 8.")
        _between("iterations", self.iterations, 1, 1_000_000, whole=True, optional=True)
        _between("noise_std", self.noise_std, 0.0, 1.0, optional=True)
        _between("quality", self.quality, 1, 100, whole=True, optional=True)
        _between("seed", self.seed, 0, MAX_SEED, whole=True)
        _between("time_limit", self.time_limit, 0.1, 1e7, optional=True)
        _between("threads", self.threads, 1, 4096, whole=True, optional=True)
        _between("preview_seconds", self.preview_seconds, 0.0, 3600.0)
        _between("preview_side", self.preview_side, 16, 16384, whole=True)
        _between("strength", self.strength, 0.0, 1.0)
        _one_of("noise_model", self.noise_model, NOISE_MODELS)
        _between("photons", self.photons, 0.1, 1e9, optional=True)
        _one_of("blur", self.blur, BLURS)
        _between("blur_size", self.blur_size, 0.3, 200.0, optional=True)
        _between("blur_angle", self.blur_angle, -360.0, 360.0)
        _one_of("optimiser", self.optimiser, OPTIMISERS)
        for name in ("deterministic", "fit_only"):
            if not isinstance(getattr(self, name), bool):
                raise InputError(f"{name} is {getattr(self, name)!r}.", "Use true or false.")
        if not isinstance(self.device, str) or not self.device:
            raise InputError(f"device is {self.device!r}.", "Try auto, cpu, cuda or mps.")


@dataclass(frozen=True, slots=True)
class Job:
    """One picture, or one clip, to restore.

    Attributes:
        task: name of a task in `dip_engine.tasks.TASKS`.
        input: picture file (PNG, JPEG, TIFF, WebP) or ``.npy`` array (H×W or H×W×C, 0–1); or a
            clip: a video file or a folder of pictures, see `Task.takes_clip`.
        output: file to write; its suffix chooses the format. Of a clip a video, or a folder.
        mask: picture or ``.npy`` of the same size, white = restore, gray = blend with what was
            there, black = leave to the bit; or None. An enlargement takes none. For a clip it may
            be a clip with a mask for each frame.
        mask_color: 0–255 RGB; pixels of exactly this colour are to be restored; or None. Without
            mask and colour, inpainting restores what is wholly transparent, other tasks the whole
            picture.
        settings: how.
        snapshots: existing folder for full-size pictures along the fit, or None; what is in it
            stays, however the job ends.
        snapshot_count: how many pictures along the fit there are at most; the start comes on top.
        guide: second picture of the same size for the tasks that have one (strokes of colour, the
            picture taken with flash), or None.
        kernel: picture or ``.npy`` of the blur, for deblurring; or None.
        parts: existing folder for ``start.npy`` and ``fit.npy``, float32 H×W×C: the classical start
            and the fit that the result was joined from; or None.
        uncertainty: file for the standard deviation of the fit at each pixel, in units of the
            picture; or None.
    """

    task: str
    input: Path
    output: Path
    mask: Path | None = None
    mask_color: tuple[int, int, int] | None = None
    settings: Settings = field(default_factory=Settings)
    snapshots: Path | None = None
    guide: Path | None = None
    kernel: Path | None = None
    parts: Path | None = None
    uncertainty: Path | None = None
    snapshot_count: int = 20

    def __post_init__(self) -> None:
        _one_of("task", self.task, tuple(task.name for task in TASKS))
        _between("snapshot_count", self.snapshot_count, 1, 1000, whole=True)
        if self.settings.network == "blind-spot" and self.task != "denoise":
            raise InputError(
                f"The network blind-spot cannot do {self.task}: it removes noise and nothing else.",
                "Leave the network out, or choose skip, up or deep-decoder.",
            )
        if self.settings.network == "deep-decoder" and self.task == "flash":
            raise InputError(
                "The network deep-decoder cannot do flash: it cannot be shown a picture.",
                "Leave the network out, or choose skip, u-net or up.",
            )
        model = self.settings.noise_model
        if model != "gaussian" and "noise_model" not in self._task.options:
            raise InputError(
                f"The noise model {model} means nothing for the task {self.task}.",
                "Leave the noise model out.",
            )
        self._check_guide()
        if self.kernel is not None and self.task != "deblur":
            raise InputError(f"The task {self.task} takes no kernel.", "Leave the kernel out.")
        if not self._task.takes_mask and (self.mask is not None or self.mask_color is not None):
            raise InputError(
                f"The task {self.task} takes no mask: an enlargement changes the whole picture.",
                "Leave the mask out.",
            )
        if self.mask is not None and self.mask_color is not None:
            raise InputError("Both a mask file and a mask colour were given.", "Give one of them.")
        if self.mask_color is not None and not all(0 <= c <= 255 for c in self.mask_color):
            raise InputError(f"mask_color {self.mask_color} is no colour.", "Try ff0000.")

    def _check_guide(self) -> None:
        task = self._task
        if self.guide is not None and not task.guide:
            raise InputError(f"The task {self.task} takes no second picture.", "Leave it out.")
        if self.guide is not None or not task.guide:
            return
        if self.task == "colourise":
            raise InputError(
                f"{self.input} does not tell its colours: any colour of the right lightness gives "
                "the same gray.",
                "Paint some strokes of colour on a copy and give it with --guide.",
            )
        raise InputError(
            f"The task {self.task} needs a second picture: the {task.guide_title}.",
            "Give it with --guide, of the same size.",
        )

    @classmethod
    def parse(cls, data: dict[str, Any]) -> Job:
        """Build a job from JSON values.

        Raises:
            InputError: an unknown field, a missing field, or a value out of range.
        """
        values = dict(data)
        settings = values.pop("settings", {})
        if not isinstance(settings, dict):
            raise InputError("The job's settings are not a table of names and values.")
        _known_fields(settings, Settings)
        _known_fields(values, cls)
        try:
            for name in ("input", "output"):
                values[name] = Path(values[name])
            for name in _OPTIONAL_PATHS:
                if values.get(name) is not None:
                    values[name] = Path(values[name])
            if values.get("mask_color") is not None:
                red, green, blue = (int(c) for c in values["mask_color"])
                values["mask_color"] = (red, green, blue)
            return cls(settings=Settings(**settings), **values)
        except KeyError as error:
            raise InputError(f"The job has no {error.args[0]}.") from error
        except (TypeError, ValueError) as error:
            raise InputError(f"The job cannot be read: {error}.") from error

    def to_json(self) -> dict[str, Any]:
        """Return JSON-ready values that `parse` reads back to an equal job."""
        data = asdict(self)
        for name in ("input", "output", *_OPTIONAL_PATHS):
            data[name] = None if data[name] is None else str(data[name])
        return data

    @property
    def needs_mask(self) -> bool:
        """True when the task cannot run without a mask."""
        return self._task.needs_mask

    @property
    def _task(self) -> Task:
        task = find_task(self.task)
        assert task is not None, "checked first"
        return task


def _one_of(name: str, value: str, choices: tuple[str, ...]) -> None:
    if value in choices:
        return
    near = get_close_matches(str(value), choices, n=1)
    hint = f"Did you mean {near[0]}?" if near else f"Choose one of: {', '.join(choices)}."
    raise InputError(f"Unknown {name} {value!r}.", hint)


def _between(
    name: str,
    value: float | None,
    low: float,
    high: float,
    *,
    whole: bool = False,
    optional: bool = False,
) -> None:
    if value is None and optional:
        return
    kinds = (int,) if whole else (int, float)
    if isinstance(value, bool) or not isinstance(value, kinds) or not math.isfinite(value):
        raise InputError(f"{name} is {value!r}.", "Use a whole number." if whole else "")
    if not low <= value <= high:
        raise InputError(f"{name} is {value}.", f"Use a value from {low:g} to {high:g}.")


def _known_fields(values: dict[str, Any], kind: type) -> None:
    names = tuple(f.name for f in fields(kind))
    for name in values:
        if name not in names:
            _one_of("field", name, names)
