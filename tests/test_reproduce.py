"""The benchmark: its scores are right, and a run of it goes on where it was."""

from __future__ import annotations

import json
import math
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

sys.path.insert(0, str(Path(__file__).with_name("benchmarks")))

import inputs
from reproduce import main
from scoring import MOST, Array, Scoring, eight_bit, luminance, read

SCRIPT = Path(__file__).with_name("benchmarks") / "reproduce.py"
ENGINE = Path(__file__).with_name("reproduce_engine.py")
TRUTH = 100  # what all pictures here should be; the engine makes 104 of them


def flat(value: int, *shape: int) -> Array:
    return np.full(shape or (32, 32, 3), value, np.uint8)


def save(path: Path, pixels: Array) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path


def decibels(error: float) -> float:
    return 20 * math.log10(255 / error)


class Lab:
    """A folder of data and an engine that notes what it is asked."""

    def __init__(self, folder: Path) -> None:
        self.data = folder / "data"
        self.out = folder / "out"
        self.log = folder / "engine-log"
        for picture in ("cat", "dog"):
            self.add_noisy(picture)

    def add_noisy(self, picture: str) -> None:
        save(self.data / "denoise25" / f"{picture}_GT.png", flat(TRUTH))
        save(self.data / "denoise25" / f"{picture}_noisy.png", flat(120))

    def publish(self, ssim: float) -> None:
        values = {"noisy": [decibels(20), ssim], "deep_prior": [30.0, 0.9], "bm3d": [29.0, 0.8]}
        scores = {"den25": {"cat": values}}
        (self.data / "published_scores.json").write_text(json.dumps(scores))

    def command(self, *arguments: str, seconds: float = 0) -> list[str]:
        engine = shlex.join([sys.executable, "-P", str(ENGINE), str(self.log), str(seconds)])
        where = ["--data", str(self.data), "--out", str(self.out)]
        return [*where, "--preset", "fast", "--engine", engine, *arguments]

    def run(self, *arguments: str) -> Result:
        return CliRunner().invoke(main, self.command(*arguments))

    def asked(self) -> list[str]:
        """Return what the engine was asked, and forget it."""
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        self.log.unlink(missing_ok=True)
        return lines

    def report(self) -> dict[str, Any]:
        report: dict[str, Any] = json.loads((self.out / "report.json").read_text())
        return report


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return Lab(tmp_path)


def test_psnr_is_that_of_the_formula() -> None:
    truth = np.random.default_rng(0).integers(10, 240, (40, 50, 3)).astype(np.uint8)
    assert Scoring().psnr(truth + np.uint8(5), truth) == pytest.approx(decibels(5))
    assert Scoring().psnr(truth, truth) == MOST
    one_pixel = truth.copy()
    one_pixel[20, 20, 1] += 5
    wanted = decibels(5) + 10 * math.log10(truth.size)
    assert Scoring().psnr(one_pixel, truth) == pytest.approx(wanted)


def test_ssim_of_flat_pictures_is_that_of_the_formula() -> None:
    constant = (0.01 * 255) ** 2
    wanted = (2 * 100 * 120 + constant) / (100**2 + 120**2 + constant)
    for shape in ((16, 16), (16, 16, 3)):
        score = Scoring().score(flat(120, *shape), flat(100, *shape))
        assert score.ssim == pytest.approx(wanted)


def test_ssim_has_a_gaussian_window_and_population_covariances() -> None:
    picture, truth = np.random.default_rng(0).integers(0, 256, (2, 11, 11)).astype(np.uint8)
    x = np.arange(11) - 5
    window = np.exp(-0.5 * (x / 1.5) ** 2)
    weight = np.outer(window, window) / window.sum() ** 2
    a, b = picture.astype(float), truth.astype(float)
    mean_a, mean_b = (weight * a).sum(), (weight * b).sum()
    var_a, var_b = (weight * a**2).sum() - mean_a**2, (weight * b**2).sum() - mean_b**2
    covariance = (weight * a * b).sum() - mean_a * mean_b
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    wanted = (2 * mean_a * mean_b + c1) * (2 * covariance + c2)
    wanted /= (mean_a**2 + mean_b**2 + c1) * (var_a + var_b + c2)
    # Of an 11×11 picture the middle pixel alone has its whole window inside.
    assert Scoring().score(picture, truth).ssim == pytest.approx(wanted)


def test_super_resolution_is_scored_on_y_without_its_border() -> None:
    picture, truth = flat(110), flat(100)
    picture[:4] = picture[:, -4:] = 0
    on_y = Scoring(luminance=True, border=4)
    assert on_y.psnr(picture, truth) == pytest.approx(decibels(10 * 219 / 255))
    colours = np.array([[[0, 0, 0], [255, 255, 255], [255, 0, 0]]], np.uint8)
    assert luminance(colours) == pytest.approx(np.array([[16, 235, 16 + 219 * 0.299]]))


def test_pictures_that_differ_in_size_are_no_pair() -> None:
    with pytest.raises(ValueError, match="32×32 colour, its truth 31×32 gray"):
        Scoring().psnr(flat(0), flat(0, 32, 31))


def test_floats_are_scored_as_they_would_be_saved() -> None:
    values = np.array([[-0.1, 0.5 / 255], [100.6 / 255, 1.2]], np.float32)
    assert eight_bit(values[:, :, None]).tolist() == [[0, 0], [101, 255]]


def test_black_pixels_of_the_truth_are_no_missing_ones(tmp_path: Path) -> None:
    truth, masked = flat(100, 8, 8), flat(100, 8, 8)
    truth[0], masked[0], masked[4] = 0, 0, 0
    path = save(tmp_path / "cat_GT.png", truth)
    save(tmp_path / "cat_masked.png", masked)
    given = inputs.missing_pixels(path, tmp_path)
    assert given.mask is not None
    assert np.flatnonzero(read(given.mask).any(axis=1)).tolist() == [4]


def test_text_is_where_the_mask_is_black(tmp_path: Path) -> None:
    mask = flat(255, 8, 8)
    mask[2] = 0
    path = save(tmp_path / "kate.png", flat(100, 8, 8, 3))
    save(tmp_path / "kate_mask.png", mask)
    given = inputs.text_over(path, tmp_path)
    assert given.mask is not None
    assert (read(given.mask) == 255 - mask).all()
    assert read(given.input)[2].max() == 0
    assert read(given.input)[3].min() == 100


def test_super_resolution_starts_from_the_middle_of_the_truth(tmp_path: Path) -> None:
    path = save(tmp_path / "cat_GT.png", flat(100, 70, 100, 3))
    given = inputs.reduced(path, tmp_path, factor=4)
    assert given.truth.shape == (64, 96, 3)
    assert read(given.input).shape == (16, 24, 3)


def test_simple_methods_restore_what_is_smooth(tmp_path: Path) -> None:
    across = np.tile(np.linspace(20, 220, 64).astype(np.uint8), (64, 1))
    holes = across.copy()
    holes[20:24, 10:50:3] = 0
    path = save(tmp_path / "ramp_GT.png", across)
    save(tmp_path / "ramp_masked.png", holes)
    for given, simple in (
        (inputs.missing_pixels(path, tmp_path), inputs.biharmonic),
        (inputs.reduced(path, tmp_path, factor=4), inputs.bicubic),
    ):
        error = np.abs(simple(given).astype(int) - across)[:, 8:-8]
        assert error.max() <= 2


def test_rows_tell_result_start_fit_and_stop_gap_apart(lab: Lab) -> None:
    lab.publish(ssim=0.5)
    result = lab.run()
    assert result.exit_code == 0, result.output
    cat, dog = lab.report()["rows"]
    assert (cat["set"], cat["picture"], cat["task"]) == ("denoise25", "cat", "denoise")
    scores = {"psnr": 4, "psnr_simple": 20, "psnr_start": 10, "psnr_fit": 2, "psnr_best": 1}
    for name, error in scores.items():
        assert cat[name] == pytest.approx(decibels(error), abs=1e-3)
    assert cat["stop_gap"] == pytest.approx(decibels(1) - decibels(4), abs=1e-3)
    assert cat["best_iteration"] == 10
    assert cat["iterations"] == 20
    assert (cat["published"], cat["classical"]) == (30.0, 29.0)
    assert (dog["published"], dog["classical"]) == (None, None)
    assert "| cat | 22.11 | 36.09 |" in result.stdout
    assert "mean 12.04 dB, worst 12.04 dB (denoise25/cat)" in result.stdout
    assert result.stdout == (lab.out / "report.md").read_text()


def test_the_page_shows_pictures_that_are_there(lab: Lab) -> None:
    save(lab.data / "set5_x4" / "bird_GT.png", flat(TRUTH, 64, 64, 3))
    save(lab.data / "jpeg" / "owl.bmp", flat(TRUTH, 32, 32))
    assert lab.run().exit_code == 0
    assert "input, 22.11 dB" in (lab.out / "report.html").read_text()
    names = re.findall(r'(?:src|href)="([^#"]+)"', (lab.out / "report.html").read_text())
    assert len(names) == 5 * 3 * 2  # input, result and truth, each with a link
    assert all((lab.out / name).is_file() for name in names)


def test_the_second_run_does_nothing_and_a_changed_wish_does(lab: Lab) -> None:
    assert lab.run("--only", "*/cat").exit_code == 0
    assert lab.asked() == ["cat_noisy.png denoise 0"]
    assert lab.run().exit_code == 0
    assert lab.asked() == ["dog_noisy.png denoise 0"]
    again = lab.run()
    assert again.exit_code == 0
    assert lab.asked() == []
    assert "36.09" in again.stdout
    assert lab.run("--only", "denoise25/cat", "--again").exit_code == 0
    assert lab.run("--only", "denoise25/cat", "--seed", "3").exit_code == 0
    assert lab.asked() == ["cat_noisy.png denoise 0", "cat_noisy.png denoise 3"]


def test_a_torn_line_costs_only_its_own_picture(lab: Lab) -> None:
    lab.run()
    rows = lab.out / "rows.jsonl"
    rows.write_bytes(rows.read_bytes()[:-20])
    lab.asked()
    for asked in (["dog_noisy.png denoise 0"], []):
        assert lab.run().exit_code == 0
        assert lab.asked() == asked


def test_a_failed_picture_has_a_row_and_is_tried_again(lab: Lab) -> None:
    lab.add_noisy("broken")
    (lab.data / "denoise25" / "dog_GT.png").write_text("no picture")
    for asked in (["broken", "cat"], ["broken"]):
        result = lab.run()
        assert result.exit_code == 1
        assert [line.split("_")[0] for line in lab.asked()] == asked
    rows = {row["picture"]: row for row in lab.report()["rows"]}
    assert rows["broken"]["error"] == "broken_noisy.png is damaged. Copy it again."
    assert "dog_GT.png" in rows["dog"]["error"]
    assert "error" not in rows["cat"]
    assert "**mean of 1 of 3**" in result.stdout
    assert "broken_noisy.png is damaged." in (lab.out / "report.html").read_text()


@pytest.mark.parametrize(
    ("only", "sentence"),
    [
        ("denoise26", "Did you mean denoise25? The sets are: denoise25, denoise50, inpaint50,"),
        ("denoise25,spam", "There is no set spam."),
        ("denoise25/cow", "There is no picture cow in denoise25. Its pictures are: cat, dog."),
        ("denoise50", "has no pictures of the set denoise50."),
    ],
)
def test_unknown_names_are_wrong_usage(lab: Lab, only: str, sentence: str) -> None:
    result = lab.run("--only", only)
    assert result.exit_code == 2
    assert sentence in " ".join(result.stderr.split())
    assert not lab.out.exists()


def test_the_check_compares_with_published_scores(lab: Lab) -> None:
    nothing = lab.run("--check")
    assert nothing.exit_code == 2
    assert "says nothing about" in nothing.stderr
    constant = (0.01 * 255) ** 2
    lab.publish(ssim=(2 * 100 * 120 + constant) / (100**2 + 120**2 + constant))
    result = lab.run("--check")
    assert result.exit_code == 0, result.output
    assert "ok  denoise25/cat PSNR" in result.stdout
    lab.publish(ssim=0.5)
    result = lab.run("--check")
    assert result.exit_code == 1
    assert "!!  denoise25/cat SSIM" in result.stdout
    assert lab.asked() == []


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_an_interrupted_run_ends_in_order_and_goes_on(lab: Lab) -> None:
    script = [sys.executable, "-P", str(SCRIPT)]
    assert lab.run("--only", "*/cat").exit_code == 0
    lab.asked()
    process = subprocess.Popen(
        [*script, *lab.command(seconds=60)], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    end = time.monotonic() + 60
    while not lab.log.exists():
        assert time.monotonic() < end
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=30)
    assert process.returncode == 130, stderr
    assert b"cat" in stdout
    assert b"Traceback" not in stderr
    lab.asked()
    assert lab.run().exit_code == 0
    assert lab.asked() == ["dog_noisy.png denoise 0"]
