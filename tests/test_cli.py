"""``dip-engine`` as a user sees it: files, lines and exit codes, with the real engine process."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import click
import numpy as np
import pytest
from PIL import Image

from dip_engine.errors import InputError
from dip_engine.option_values import parse_color
from dip_engine.options import settings_from_options, settings_options

QUICK = ("--preset", "fast", "--iterations", "3", "--device", "cpu")


def dip_engine(*arguments: str | Path, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run the command in a folder."""
    command = [sys.executable, "-P", "-m", "dip_engine", *map(str, arguments)]
    return subprocess.run(
        command, check=False, cwd=folder, capture_output=True, text=True, timeout=300
    )


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    """A noisy gray picture of 40×32 pixels."""
    ramp = np.linspace(60, 190, 40)[None, :] + np.zeros((32, 1))
    noisy = ramp + np.random.default_rng(0).normal(0, 20, ramp.shape)
    Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8)).save(tmp_path / "noisy.png")
    return tmp_path / "noisy.png"


def assert_fails(
    run: subprocess.CompletedProcess[str], code: int, *words: str, hint: str = "Hint: "
) -> None:
    """It ended with that code and readable words, without a traceback."""
    assert run.returncode == code, run.stderr
    assert "Traceback" not in run.stderr
    for word in ("Error: ", hint, *words):
        assert word in run.stderr


def test_picture_is_restored(picture: Path, tmp_path: Path) -> None:
    run = dip_engine("restore", picture, "out.png", "--task", "denoise", *QUICK, folder=tmp_path)
    assert run.returncode == 0, run.stderr
    with Image.open(tmp_path / "out.png") as restored, Image.open(picture) as noisy:
        assert restored.size == noisy.size
        assert restored.mode == noisy.mode
        truth = np.linspace(60, 190, 40)[None, :]
        errors = [np.abs(np.asarray(p, float) - truth).mean() for p in (restored, noisy)]
    assert errors[0] < errors[1]
    (line,) = run.stdout.splitlines()
    assert line.startswith("out.png: ")
    assert "noise σ" in line
    assert "noisy.png: 40×32" in run.stderr  # plain lines where there is no terminal
    assert sorted(file.name for file in tmp_path.iterdir()) == ["noisy.png", "out.png"]


def test_mask_colour_marks_what_is_restored(tmp_path: Path) -> None:
    pixels = np.full((32, 32, 3), (40, 160, 90), np.uint8)
    pixels[12:18, 10:20] = (255, 0, 0)
    Image.fromarray(pixels).save(tmp_path / "in.png")
    task = ("--task", "inpaint", "--mask-color", "ff0000")
    run = dip_engine("restore", "in.png", "out.png", *task, *QUICK, folder=tmp_path)
    assert run.returncode == 0, run.stderr
    with Image.open(tmp_path / "out.png") as restored:
        filled = np.asarray(restored)
    hole = (pixels == (255, 0, 0)).all(axis=2)
    np.testing.assert_array_equal(filled[~hole], pixels[~hole])
    assert filled[hole][:, 0].max() < 200


def test_existing_output_is_kept_unless_forced(picture: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.png"
    output.write_text("mine")
    command = ("restore", picture, output, "--task", "denoise", *QUICK)
    assert_fails(dip_engine(*command, folder=tmp_path), 1, "out.png exists", "--force")
    assert output.read_text() == "mine"
    assert dip_engine(*command, "--force", folder=tmp_path).returncode == 0
    with Image.open(output) as restored:
        assert restored.size == (40, 32)


def test_picture_is_never_overwritten(picture: Path, tmp_path: Path) -> None:
    before = picture.read_bytes()
    (tmp_path / "link.png").symlink_to(picture)
    for output in ("noisy.png", "link.png"):
        run = dip_engine(
            "restore", picture, output, "--task", "denoise", "--force", folder=tmp_path
        )
        assert_fails(run, 1, "picture itself")
    assert picture.read_bytes() == before


def test_bad_picture_is_one_sentence_and_a_hint(tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("no picture")
    for name in ("text.png", "missing.png"):
        run = dip_engine("restore", name, "out.png", "--task", "denoise", folder=tmp_path)
        assert_fails(run, 1, name)
        assert not (tmp_path / "out.png").exists()


@pytest.mark.parametrize(
    "options",
    [
        ("--task", "denoize"),
        ("--task", "denoise", "--preset", "quick"),
        ("--task", "denoise", "--factor", "5"),
        ("--task", "denoise", "--noise-level", "-1"),
        ("--task", "denoise", "--noise-level", "nan"),
        ("--task", "denoise", "--quality", "101"),
        ("--task", "denoise", "--iterations", "0"),
        ("--task", "denoise", "--time-limit", "inf"),
        ("--task", "denoise", "--strength", "50"),
        ("--task", "denoise", "--device", ""),
        ("--task", "inpaint", "--mask-color", "red"),
        ("--task", "super-resolution", "--mask", "mask.png"),
        ("--task", "inpaint", "--mask-color", "ff0000", "--mask", "mask.png"),
        (),
    ],
)
def test_bad_usage(picture: Path, tmp_path: Path, options: tuple[str, ...]) -> None:
    run = dip_engine("restore", picture, "out.png", *options, folder=tmp_path)
    assert_fails(run, 2, hint="Usage: ")


def test_unknown_device_is_named(picture: Path, tmp_path: Path) -> None:
    options = ("--task", "denoise", "--device", "cuda:99")
    run = dip_engine("restore", picture, "out.png", *options, folder=tmp_path)
    assert_fails(run, 3, "cuda:99")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGINT to send")
def test_interrupt_writes_nothing(picture: Path, tmp_path: Path) -> None:
    options = ("--task", "denoise", "--iterations", "1000000", "--device", "cpu")
    command = [sys.executable, "-P", "-m", "dip_engine", "restore", str(picture), "out.png"]
    with subprocess.Popen(
        [*command, *options], cwd=tmp_path, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        assert "40×32" in process.stderr.readline()  # the fit has begun
        process.send_signal(signal.SIGINT)
        began = time.monotonic()
        errors = process.stderr.read()
        assert process.wait(30) == 130
    assert time.monotonic() - began < 10
    assert "out.png was not written" in errors
    assert "Traceback" not in errors
    assert list(tmp_path.iterdir()) == [picture]


def test_what_killed_engines_left_goes(picture: Path, tmp_path: Path) -> None:
    code = (
        "from pathlib import Path; from dip_engine.temporary import temporary_name\n"
        "for name in ('out.png', 'spread.npy'): temporary_name(Path(name)).touch()"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path)
    assert len(list(tmp_path.iterdir())) == 3
    arguments = ("out.png", "--task", "denoise", "--uncertainty", "spread.npy", *QUICK)
    run = dip_engine("restore", picture, *arguments, folder=tmp_path)
    assert run.returncode == 0, run.stderr
    assert {file.name for file in tmp_path.iterdir()} == {"noisy.png", "out.png", "spread.npy"}


def test_samples(tmp_path: Path) -> None:
    run = dip_engine("samples", "photos", folder=tmp_path)
    assert run.returncode == 0
    files = run.stdout.splitlines()
    assert len(files) == 4
    for file in files:
        with Image.open(tmp_path / file) as photo:
            photo.load()
    again = dip_engine("samples", "photos", folder=tmp_path)
    assert all("already there" in line for line in again.stdout.splitlines())
    (tmp_path / "file").touch()
    assert dip_engine("samples", "file", folder=tmp_path).returncode == 2


def test_worker_ends_with_its_caller(tmp_path: Path) -> None:
    command = [sys.executable, "-P", "-m", "dip_engine", "worker"]
    run = subprocess.run(command, check=False, input=b"", capture_output=True, timeout=60)
    assert run.returncode == 0


@pytest.mark.parametrize("text", ["ff8000", "#FF8000"])
def test_colours(text: str) -> None:
    assert parse_color(text) == (255, 128, 0)


@pytest.mark.parametrize("text", ["", "#", "fff", "ff00001", "gg0000", "+f0000", "ff 000"])
def test_what_is_no_colour(text: str) -> None:
    with pytest.raises(InputError, match="no colour"):
        parse_color(text)


def test_options_become_settings() -> None:
    @click.command
    @settings_options
    def command(
        task: str,
        mask_color: tuple[int, int, int] | None,
        guide: Path | None,
        kernel: Path | None,
        **options: object,
    ) -> object:
        return task, mask_color, settings_from_options(**options)  # type: ignore[arg-type]

    task, color, settings = command.main(
        [
            "--task",
            "jpeg",
            "--noise-level",
            "51",
            "--factor",
            "8",
            "--mask-color",
            "0000ff",
            "--deterministic",
            "--strength",
            "0.4",
        ],
        standalone_mode=False,
    )
    assert (task, color) == ("jpeg", (0, 0, 255))
    assert settings.noise_std == pytest.approx(0.2)
    assert settings.factor == 8
    assert settings.deterministic is True
    assert settings.strength == 0.4
    assert settings.preset == "balanced"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--task", "denoise", "--quality", "30"), "--quality means nothing for the task denoise"),
        (("--task", "denoise", "--photons", "9"), "nothing without --noise-model poisson"),
        (("--task", "deblur", "--blur-angle", "9"), "nothing without --blur motion"),
        (("--task", "deblur", "--guide", "in.png"), "--guide means nothing for the task deblur"),
        (("--task", "deblur", "--kernel", "gone.png"), "'gone.png' does not exist"),
        (
            ("--task", "deblur", "--kernel", "in.png", "--blur", "gaussian"),
            "one of --kernel and --blur",
        ),
        (("--task", "denoise", "--uncertainty", "out.png"), "name the same file"),
        (("--task", "colourise"), "does not tell its colours"),
    ],
)
def test_options_that_mean_nothing_are_refused(
    tmp_path: Path, arguments: tuple[str, ...], sentence: str
) -> None:
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(tmp_path / "in.png")
    command = [sys.executable, "-P", "-m", "dip_engine", "restore", "in.png", "out.png"]
    run = subprocess.run(
        [*command, *arguments], check=False, capture_output=True, text=True, cwd=tmp_path
    )
    assert run.returncode == 2
    assert sentence in " ".join(run.stderr.split())
    assert not (tmp_path / "out.png").exists()
