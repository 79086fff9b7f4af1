"""The arguments of the procedure: what scripts can say, and what the dialog shows.

An underscore in a name marks the letter that reaches it with Alt.
"""

from __future__ import annotations

from gi.repository import Gimp, GObject

from dip_engine.job import MAX_SEED, Settings
from dip_engine.tasks import BLURS, FACTORS, NOISE_MODELS, PRESETS, TASKS

_BOTH_WAYS = GObject.ParamFlags.READWRITE
_DEFAULTS = Settings()
_NOISE_TITLES = {"gaussian": "The same everywhere", "poisson": "Grows with the light (photons)"}
_BLUR_TITLES = {
    "unknown": "Unknown – find it",
    "gaussian": "Gaussian",
    "motion": "Motion",
    "defocus": "Out of focus",
}


def add_arguments(procedure: Gimp.Procedure) -> None:
    """Register all arguments beside the image and its drawables."""
    _add_common(procedure)
    _add_those_of_tasks(procedure)
    _add_noise_model(procedure)
    _add_blur(procedure)
    _add_advanced(procedure)
    procedure.add_layer_argument(
        "second-layer",
        "Second la_yer",
        "The layer with strokes of colour (colourise), or the photo taken with flash (flash)",
        True,
        _BOTH_WAYS,
    )


def _add_common(procedure: Gimp.Procedure) -> None:
    tasks, presets = Gimp.Choice.new(), Gimp.Choice.new()
    for number, task in enumerate(TASKS):
        tasks.add(task.name, number, task.title, task.summary)
    for number, preset in enumerate(PRESETS):
        presets.add(preset, number, preset.capitalize(), "")
    procedure.add_choice_argument(
        "task", "_Task", "What is done to the layer", tasks, TASKS[0].name, _BOTH_WAYS
    )
    procedure.add_choice_argument(
        "preset", "_Preset", "How much time is spent", presets, _DEFAULTS.preset, _BOTH_WAYS
    )
    procedure.add_double_argument(
        "strength",
        "Strengt_h (%)",
        "How much of the original is replaced",
        0,
        100,
        100,
        _BOTH_WAYS,
    )


def _add_those_of_tasks(procedure: Gimp.Procedure) -> None:
    factors = Gimp.Choice.new()
    for factor in FACTORS:
        factors.add(str(factor), factor, f"× {factor}", "")
    procedure.add_double_argument(
        "noise-level",
        "_Noise level (0: estimated)",
        "Standard deviation of the noise in 8-bit levels",
        0,
        255,
        0,
        _BOTH_WAYS,
    )
    procedure.add_choice_argument(
        "factor", "_Enlarge", "How many times larger", factors, str(_DEFAULTS.factor), _BOTH_WAYS
    )
    procedure.add_int_argument(
        "quality",
        "JPEG _quality (0: estimated)",
        "1 to 100, as it was saved",
        0,
        100,
        0,
        _BOTH_WAYS,
    )


def _add_noise_model(procedure: Gimp.Procedure) -> None:
    models = Gimp.Choice.new()
    for number, model in enumerate(NOISE_MODELS):
        models.add(model, number, _NOISE_TITLES[model], "")
    procedure.add_choice_argument(
        "noise-model",
        "Noise _model",
        "Noise that is the same everywhere, or that of counted photons",
        models,
        _DEFAULTS.noise_model,
        _BOTH_WAYS,
    )
    procedure.add_double_argument(
        "photons",
        "Photons of _white (0: estimated)",
        "How many photons make a white pixel",
        0,
        1e9,
        0,
        _BOTH_WAYS,
    )


def _add_blur(procedure: Gimp.Procedure) -> None:
    blurs = Gimp.Choice.new()
    for number, blur in enumerate(BLURS):
        blurs.add(blur, number, _BLUR_TITLES[blur], "")
    procedure.add_choice_argument(
        "blur", "_Blur", "The shape of the blur", blurs, _DEFAULTS.blur, _BOTH_WAYS
    )
    procedure.add_double_argument(
        "blur-size",
        "Blur si_ze in pixels (0: usual)",
        "Standard deviation of a Gaussian, length of a motion, radius of a disc out of focus, "
        "greatest extent of an unknown blur",
        0,
        200,
        0,
        _BOTH_WAYS,
    )
    procedure.add_double_argument(
        "blur-angle",
        "Blur an_gle in degrees",
        "Direction of a motion: 0 is horizontal, 90 vertical, counterclockwise",
        -180,
        180,
        _DEFAULTS.blur_angle,
        _BOTH_WAYS,
    )


def _add_advanced(procedure: Gimp.Procedure) -> None:
    procedure.add_int_argument(
        "iterations",
        "_Iterations (0: automatic)",
        "A fixed number instead of the automatic stop",
        0,
        1_000_000,
        0,
        _BOTH_WAYS,
    )
    procedure.add_int_argument(
        "seed", "Random see_d", "Of every random number", 0, MAX_SEED, _DEFAULTS.seed, _BOTH_WAYS
    )
    procedure.add_string_argument(
        "device", "De_vice", "auto, cpu, cuda, cuda:1, mps …", _DEFAULTS.device, _BOTH_WAYS
    )
    procedure.add_boolean_argument(
        "fit-only",
        "The network's _fit alone",
        "Without the classical estimate, which outweighs many a fit: more moments to choose from",
        _DEFAULTS.fit_only,
        _BOTH_WAYS,
    )
