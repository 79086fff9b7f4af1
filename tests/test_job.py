"""Jobs, settings, events and errors: what is valid, and that JSON brings it back unchanged."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import dip_engine
from dip_engine import errors
from dip_engine.errors import Cancelled, DipError, InputError
from dip_engine.events import (
    Event,
    Preview,
    Progress,
    Result,
    Snapshot,
    Started,
    event_from_json,
    event_to_json,
)
from dip_engine.job import MAX_SEED, Job, Settings
from dip_engine.tasks import DTYPES, FACTORS, NETWORKS, PRESETS, TASKS, Task, find_task

WORDS = st.text(min_size=1, max_size=20)
NUMBERS = st.floats(allow_nan=False)
COUNTS = st.integers(0, 10**6)
PATHS = st.text(st.characters(exclude_characters="\0"), min_size=1, max_size=20).map(Path)
COLORS = st.tuples(*[st.integers(0, 255)] * 3)

SETTINGS = st.builds(
    Settings,
    preset=st.sampled_from(PRESETS),
    network=st.none() | st.sampled_from(NETWORKS),
    iterations=st.none() | st.integers(1, 10**6),
    noise_std=st.none() | st.floats(0, 1),
    factor=st.sampled_from(FACTORS),
    quality=st.none() | st.integers(1, 100),
    seed=st.integers(0, MAX_SEED),
    device=WORDS,
    dtype=st.sampled_from(DTYPES),
    deterministic=st.booleans(),
    time_limit=st.none() | st.floats(0.1, 1e7),
    threads=st.none() | st.integers(1, 4096),
    preview_seconds=st.floats(0, 3600),
    preview_side=st.integers(16, 16384),
    strength=st.floats(0, 1),
)
MASKS = st.one_of(
    st.just({}),
    st.fixed_dictionaries({"mask": PATHS}),
    st.fixed_dictionaries({"mask_color": COLORS}),
)
TAKES_MASK = {task.name for task in TASKS if task.takes_mask}
WAYS = st.tuples(st.sampled_from([task.name for task in TASKS]), SETTINGS).filter(
    lambda way: (
        (way[0] == "denoise" or way[1].network != "blind-spot")
        and (way[0] != "flash" or way[1].network != "deep-decoder")
    )
)
TAKES_GUIDE = {task.name for task in TASKS if task.guide}
JOBS = st.builds(
    lambda mask, way, guide, kernel, **values: Job(
        task=way[0],
        settings=way[1],
        **values,
        **(mask if way[0] in TAKES_MASK else {}),
        guide=guide if way[0] in TAKES_GUIDE else None,
        kernel=kernel if way[0] == "deblur" else None,
    ),
    MASKS,
    WAYS,
    PATHS,
    st.none() | PATHS,
    input=PATHS,
    output=PATHS,
    snapshots=st.none() | PATHS,
    snapshot_count=st.integers(1, 1000),
)
EVENTS: st.SearchStrategy[Event] = st.one_of(
    st.builds(Started, COUNTS, COUNTS, COUNTS, WORDS, WORDS, WORDS, st.none() | NUMBERS),
    st.builds(
        Progress,
        stage=st.sampled_from(["start", "fit"]),
        fraction=st.floats(0, 1),
        iteration=COUNTS,
        iterations=COUNTS,
        loss=st.none() | NUMBERS,
        psnr=st.none() | NUMBERS,
        seconds=NUMBERS,
        remaining=st.none() | NUMBERS,
        tile=COUNTS,
        tiles=COUNTS,
    ),
    st.builds(Preview, COUNTS, COUNTS, COUNTS, st.binary(max_size=100)),
    st.builds(
        Snapshot,
        index=COUNTS,
        iteration=COUNTS,
        path=WORDS,
        psnr=st.none() | NUMBERS,
        width=COUNTS,
        height=COUNTS,
        pixels=st.binary(max_size=100),
        loss=st.none() | NUMBERS,
    ),
    st.builds(
        Result,
        output=WORDS,
        task=WORDS,
        preset=WORDS,
        network=WORDS,
        seed=COUNTS,
        device=WORDS,
        dtype=WORDS,
        width=COUNTS,
        height=COUNTS,
        tiles=COUNTS,
        stop_reason=WORDS,
        iterations=COUNTS,
        snapshot=COUNTS,
        psnr=st.none() | NUMBERS,
        noise_std=st.none() | NUMBERS,
        noise_kind=st.none() | WORDS,
        seconds=NUMBERS,
        versions=st.dictionaries(WORDS, WORDS, max_size=3),
        warnings=st.lists(WORDS, max_size=3).map(tuple),
        parameters=COUNTS,
    ),
)
ERRORS = [
    kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, DipError)
]


def job_values(**changes: Any) -> dict[str, Any]:
    return {"task": "denoise", "input": "a.png", "output": "b.png", **changes}


def through_json(values: Any) -> Any:
    return json.loads(json.dumps(values))


@given(JOBS)
def test_a_job_survives_json(job: Job) -> None:
    assert Job.parse(through_json(job.to_json())) == job


@given(EVENTS)
def test_an_event_survives_json(event: Event) -> None:
    header, payload = event_to_json(event)
    assert event_from_json(through_json(header), payload) == event


@pytest.mark.parametrize("kind", ERRORS)
@given(sentence=st.text(), hint=st.text())
def test_an_error_survives_json(kind: type[DipError], sentence: str, hint: str) -> None:
    error = kind(sentence, hint)
    again = DipError.from_dict(through_json(error.to_dict()))
    assert type(again) is kind
    assert (again.sentence, again.hint) == (sentence, hint)
    assert again.exit_code == error.exit_code


def test_an_unknown_error_stays_readable() -> None:
    error = DipError.from_dict({"error": "FromTheFuture", "sentence": "No.", "hint": "Wait."})
    assert type(error) is DipError
    assert str(error) == "No. Wait."
    assert str(DipError.from_dict({})) == "Unknown error."


def test_exit_codes_are_those_of_the_command_line() -> None:
    assert Cancelled("Stop.").exit_code == 130
    assert errors.OutOfMemory("Full.").exit_code == errors.InputError("Bad.").exit_code == 1
    assert errors.DeviceError("None.").exit_code == errors.ProtocolError("Dead.").exit_code == 3


def test_a_short_job_gets_the_defaults() -> None:
    job = Job.parse(job_values())
    assert job == Job("denoise", Path("a.png"), Path("b.png"))
    assert job.settings == Settings()
    assert not job.needs_mask
    assert Job.parse(job_values(task="inpaint")).needs_mask


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"task": "denoize"}, "Did you mean denoise"),
        ({"task": "xyz"}, "Choose one of"),
        ({"inputs": "a.png"}, "Did you mean input"),
        ({"input": 3}, "cannot be read"),
        ({"input": None}, "cannot be read"),
        ({"mask": 3}, "cannot be read"),
        ({"snapshots": 3}, "cannot be read"),
        ({"snapshot": "folder"}, "Did you mean snapshots"),
        ({"snapshot_count": 0}, "from 1 to 1000"),
        ({"snapshot_count": "20"}, "whole number"),
        ({"mask": "m.png", "mask_color": [1, 2, 3]}, "Both a mask"),
        ({"task": "super-resolution", "mask": "m.png"}, "enlargement"),
        ({"task": "super-resolution", "mask_color": [1, 2, 3]}, "takes no mask"),
        ({"mask_color": [1, 2, 256]}, "no colour"),
        ({"mask_color": [1, 2]}, "cannot be read"),
        ({"mask_color": "red"}, "cannot be read"),
        ({"settings": []}, "not a table"),
        ({"settings": {"presett": "fast"}}, "Did you mean preset"),
        ({"settings": {"preset": "fats"}}, "Did you mean fast"),
        ({"settings": {"network": "unet"}}, "Unknown network"),
        ({"settings": {"dtype": "float16"}}, "Unknown dtype"),
        ({"settings": {"factor": 5}}, "factor 5"),
        ({"settings": {"iterations": 0}}, "iterations is 0"),
        ({"settings": {"iterations": 1.5}}, "whole number"),
        ({"settings": {"iterations": True}}, "whole number"),
        ({"settings": {"noise_std": 1.01}}, "from 0 to 1"),
        ({"settings": {"noise_std": float("nan")}}, "noise_std is nan"),
        ({"settings": {"noise_std": "0.1"}}, "noise_std is '0.1'"),
        ({"settings": {"quality": 101}}, "quality is 101"),
        ({"settings": {"seed": -1}}, "seed is -1"),
        ({"settings": {"seed": 2**31}}, "seed is"),
        ({"settings": {"time_limit": 0}}, "time_limit is 0"),
        ({"settings": {"threads": 0}}, "threads is 0"),
        ({"settings": {"preview_seconds": -0.5}}, "preview_seconds is -0.5"),
        ({"settings": {"preview_seconds": None}}, "preview_seconds is None"),
        ({"settings": {"preview_side": 15}}, "from 16 to 16384"),
        ({"settings": {"preview_side": 99.5}}, "whole number"),
        ({"settings": {"preview_side": None}}, "preview_side is None"),
        ({"settings": {"strength": 1.1}}, "from 0 to 1"),
        ({"settings": {"strength": None}}, "strength is None"),
        ({"settings": {"deterministic": "yes"}}, "true or false"),
        ({"settings": {"device": ""}}, "device is ''"),
    ],
)
def test_a_bad_job_is_refused_with_a_hint(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError) as caught:
        Job.parse(job_values(**changes))
    assert words in str(caught.value)


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
def test_only_a_task_that_removes_noise_takes_a_noise_model(task: Task) -> None:
    guide = "g.png" if task.guide else None
    values = job_values(task=task.name, guide=guide, settings={"noise_model": "poisson"})
    if "noise_model" in task.options:
        assert Job.parse(values).settings.noise_model == "poisson"
        return
    with pytest.raises(InputError, match=rf"poisson means nothing for the task {task.name}\."):
        Job.parse(values)


@pytest.mark.parametrize("name", ["task", "input", "output"])
def test_a_missing_field_is_named(name: str) -> None:
    values = job_values()
    del values[name]
    with pytest.raises(InputError, match=name):
        Job.parse(values)


@given(
    st.dictionaries(
        st.sampled_from(["task", "input", "output", "mask", "mask_color", "settings", "x"]),
        st.none() | st.booleans() | st.integers() | st.text() | st.lists(st.integers(), max_size=4),
    )
)
def test_any_json_is_a_job_or_an_input_error(values: dict[str, Any]) -> None:
    try:
        job = Job.parse(values)
    except InputError:
        return
    assert find_task(job.task) is not None


def test_parse_leaves_its_argument_alone() -> None:
    values = job_values(settings={"seed": 3})
    before = through_json(values)
    Job.parse(values)
    assert values == before


@pytest.mark.parametrize(
    "values", [{}, {"kind": "hello"}, {"kind": "started"}, {"kind": "preview", "x": 1}]
)
def test_a_wrong_event_is_an_input_error(values: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        event_from_json(values)


def test_the_package_exports_what_it_names() -> None:
    for name in set(dip_engine.__all__) - {"restore", "restore_events"}:  # those load torch
        assert hasattr(dip_engine, name), name
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        dip_engine.nonsense  # noqa: B018
