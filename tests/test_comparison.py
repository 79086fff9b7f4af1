"""``dip-engine compare``: real fits, the page and the film of them, and what is refused."""

from __future__ import annotations

import base64
import csv
import io
import re
import signal
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dip_engine.comparison import FRAMES, Comparison, Point, film_iterations
from dip_engine.curves import psnr_label, require_matplotlib
from dip_engine.errors import DipError, InputError, OutputError
from dip_engine.events import Event, Result, Snapshot, Started
from dip_engine.film import HOLD, RATE, Film
from dip_engine.folder import new_folder
from dip_engine.job import Job, Settings
from dip_engine.option_values import parse_networks

av = pytest.importorskip("av")
pytest.importorskip("matplotlib")

SIDE, ITERATIONS = 64, 40


def compare(folder: Path, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run the command in a folder."""
    command = [sys.executable, "-P", "-m", "dip_engine", "compare", *map(str, arguments)]
    return subprocess.run(
        command, check=False, cwd=folder, capture_output=True, text=True, timeout=300
    )


def make_pictures(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Write noisy.png and truth.png and return them, 0–1."""
    y, x = np.mgrid[:SIDE, :SIDE] / SIDE
    truth = np.stack([x, (y + x) / 2, np.hypot(x - 0.5, y - 0.5) < 0.3], axis=2) * 200 + 25
    noisy = truth + np.random.default_rng(0).normal(0, 25, truth.shape)
    made = [np.clip(np.rint(pixels), 0, 255).astype(np.uint8) for pixels in (noisy, truth)]
    for name, pixels in zip(("noisy.png", "truth.png"), made, strict=True):
        Image.fromarray(pixels).save(folder / name)
    return made[0] / 255, made[1] / 255


QUICK = ("--networks", "up,deep-decoder", "--iterations", str(ITERATIONS), "--device", "cpu")


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with pictures and their comparison."""
    folder = tmp_path_factory.mktemp("compare")
    make_pictures(folder)
    run = compare(folder, "noisy.png", "--truth", "truth.png", *QUICK)
    assert run.returncode == 0, run.stderr
    up, decoder, page = run.stdout.splitlines()
    assert re.fullmatch(
        r"up: .* stop at iteration \d+ with .* dB, peak at \d+ with .* dB, end with .* dB", up
    )
    assert decoder.startswith("deep-decoder: ")
    assert page == str(Path("noisy-compare/index.html"))
    assert "noisy.png, up: 64×64" in run.stderr
    return folder


class Page(HTMLParser):
    """What a test wants to know of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.images: dict[str, Image.Image] = {}
        self.links: list[str] = []
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        self.ids += [values["id"]] if "id" in values else []
        self.links += [values["href"]] if tag == "a" else []
        assert tag not in ("script", "link", "iframe")
        if tag == "img":
            kind, data = values["src"].split(",")
            assert kind == "data:image/webp;base64"
            self.images[values["alt"]] = Image.open(io.BytesIO(base64.b64decode(data)))

    def handle_data(self, data: str) -> None:
        self.words += data.split()


@pytest.fixture(scope="module")
def page(compared: Path) -> Page:
    return Page((compared / "noisy-compare/index.html").read_text(encoding="utf-8"))


def points(folder: Path) -> list[dict[str, str]]:
    with (folder / "curves.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_there_is_one_folder_with_a_page(compared: Path) -> None:
    assert {file.name for file in compared.iterdir()} == {"noisy.png", "truth.png", "noisy-compare"}
    found = {file.name for file in (compared / "noisy-compare").iterdir()}
    assert found == {"index.html", "curves.csv", "film.webp", "film.mp4"}


def test_every_network_has_its_curves_and_marks(page: Page) -> None:
    for network in ("up", "deep-decoder"):
        for name in ("psnr", "psnr-stop", "psnr-peak", "loss", "loss-stop"):
            assert page.ids.count(f"{name}-{network}") == 1
    assert "psnr-input" in page.ids
    assert " ".join(("PSNR", "to", "the", "truth", "(dB)")) in " ".join(page.words)
    own = [name for name in page.ids if re.match(r"(psnr|loss)-", name)]
    assert len(own) == len(set(own))


def test_the_page_stands_alone_and_takes_its_colours_from_its_style(compared: Path) -> None:
    text = (compared / "noisy-compare/index.html").read_text(encoding="utf-8")
    page = Page(text)
    assert page.links == ["curves.csv", "film.webp", "film.mp4"]
    assert not re.search(r"#0000[ef]\d", text)
    assert not re.search(r"\$[a-z]", text)
    used = set(re.findall(r"var\((--[a-z0-9-]+)\)", text))
    dark = text[text.index("prefers-color-scheme: dark") :]
    for name in used:
        assert f"{name}:" in text.split("@media", 1)[0]
        assert f"{name}:" in dark


def test_the_pictures_have_the_psnr_that_is_told(compared: Path, page: Page) -> None:
    truth = np.asarray(Image.open(compared / "truth.png"), float) / 255
    told = re.findall(r"stop ([0-9.]+)", " ".join(page.words))[:2]
    shown = [image for words, image in page.images.items() if words.startswith("stop")]
    assert len(page.images) >= 4  # the words of both networks may be the same
    noisy = np.asarray(page.images["input"], float)
    assert np.array_equal(noisy, np.asarray(Image.open(compared / "noisy.png")))
    assert np.array_equal(np.asarray(page.images["truth"], float) / 255, truth)
    pixels = np.asarray(shown[-1], float) / 255
    measured = -10 * np.log10(np.mean((pixels - truth) ** 2))
    assert min(abs(measured - float(value)) for value in told) < 0.03


def test_the_numbers_are_there(compared: Path) -> None:
    rows = points(compared / "noisy-compare")
    for network in ("up", "deep-decoder"):
        own = [row for row in rows if row["network"] == network]
        iterations = [int(row["iteration"]) for row in own]
        assert iterations == sorted(set(iterations))
        assert 4 < len(iterations) <= ITERATIONS  # snapshots may take a share of the time
        assert float(own[-1]["psnr_to_truth"]) > float(own[0]["psnr_to_truth"])
        assert float(own[-1]["loss"]) > 0
        assert own[-1]["psnr_estimated"]


def test_the_film_has_its_frames(compared: Path) -> None:
    rows = points(compared / "noisy-compare")
    expected = []
    for network in ("up", "deep-decoder"):
        due, chosen = film_iterations(ITERATIONS), []
        for iteration in (int(row["iteration"]) for row in rows if row["network"] == network):
            if due and iteration >= due[0]:
                chosen.append(iteration)
                due = [later for later in due if later > iteration]
        expected.append(len(chosen))
    with Image.open(compared / "noisy-compare/film.webp") as film:
        count, size = film.n_frames, film.size
        assert count == max(expected)
        assert film.is_animated
        first = np.asarray(film.convert("RGB"), int)
        film.seek(count - 1)
        assert np.abs(np.asarray(film.convert("RGB"), int) - first).max() > 50
    with av.open(str(compared / "noisy-compare/film.mp4")) as video:
        stream = video.streams.video[0]
        assert (stream.width, stream.height) == size
        assert len(list(video.decode(stream))) == count + RATE * HOLD - 1


def test_without_truth_the_engine_s_estimate_is_drawn(tmp_path: Path) -> None:
    make_pictures(tmp_path)
    networks = ("--networks", "fast", "--iterations", "20", "--device", "cpu")
    run = compare(tmp_path, "noisy.png", *networks, "-o", "out")
    assert run.returncode == 0, run.stderr
    page = Page((tmp_path / "out/index.html").read_text(encoding="utf-8"))
    assert "held-out" in page.words
    assert "truth" not in page.images
    assert {"psnr-fast", "psnr-stop-fast"} <= set(page.ids)
    assert all(not row["psnr_to_truth"] for row in points(tmp_path / "out"))
    before = sorted(tmp_path.iterdir())

    again = compare(tmp_path, "noisy.png", *networks, "-o", "out")
    assert again.returncode == 1
    assert "out exists" in again.stderr
    assert "--force" in again.stderr
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("--networks", "up,unet9"), 2, "Choose from: skip, u-net, deep-decoder, up, "),
        (("--networks", ""), 2, "Unknown network ''"),
        (("--networks", "up,fast"), 2, "fast is named twice"),
        (("--networks", "up,blind-spot", "--task", "jpeg"), 2, "blind-spot cannot do jpeg"),
        (("--preset", "best"), 2, "No such option"),
        (("--truth", "small.png"), 1, "small.png has 32×16 pixels"),
        (("--truth", "truth.png", "--task", "super-resolution"), 1, "will have 256×256"),
        (("--truth", "missing.png"), 1, "missing.png does not exist"),
        (("-o", "missing/out"), 1, "Create its folder first"),
    ],
)
def test_what_is_refused(tmp_path: Path, arguments: tuple[str, ...], code: int, words: str) -> None:
    make_pictures(tmp_path)
    Image.new("RGB", (32, 16)).save(tmp_path / "small.png")
    before = sorted(tmp_path.iterdir())
    run = compare(tmp_path, "noisy.png", *arguments)
    assert run.returncode == code, run.stderr
    assert "Traceback" not in run.stderr
    assert words in " ".join(run.stderr.split())
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no signals to send")
@pytest.mark.parametrize("number", ["SIGINT", "SIGTERM"])
def test_interrupt_writes_nothing(tmp_path: Path, number: str) -> None:
    make_pictures(tmp_path)
    before = sorted(tmp_path.iterdir())
    code, errors = end_compare(tmp_path, number)
    assert code == 130
    assert "noisy-compare was not written" in errors
    assert "Traceback" not in errors
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no signals to send")
def test_what_a_killed_run_left_goes_with_the_next(tmp_path: Path) -> None:
    make_pictures(tmp_path)
    end_compare(tmp_path, "SIGKILL")
    assert list(tmp_path.glob(".noisy-compare.*"))
    run = compare(tmp_path, "noisy.png", "--networks", "up", "--iterations", "2", "--device", "cpu")
    assert run.returncode == 0, run.stderr
    assert {path.name for path in tmp_path.iterdir()} == {"noisy.png", "truth.png", "noisy-compare"}


def end_compare(folder: Path, number: str) -> tuple[int, str]:
    """Send a signal to a comparison at work; return its exit code and what it said."""
    command = [sys.executable, "-P", "-m", "dip_engine", "compare", "noisy.png", "--device", "cpu"]
    with subprocess.Popen(
        [*command, "--iterations", "1000000"], cwd=folder, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        assert "64×64" in process.stderr.readline()  # the fit has begun
        process.send_signal(signal.Signals[number])
        errors = process.stderr.read()
        return process.wait(30), errors


class FakeEngine:
    """Tells of a fit that rises to iteration 3 and falls again; delivers iteration 4."""

    def __init__(self, truth: np.ndarray, *, tiles: int = 1, iterations: int = 5) -> None:
        self.truth = truth.astype(np.float32)
        self.tiles = tiles
        self.iterations = iterations

    def run(self, job: Job):
        height, width = self.truth.shape[:2]
        yield Started(width, height, self.tiles, str(job.settings.network), "cpu", "float32")
        for tile in range(self.tiles):
            for k in range(self.iterations + 1):
                yield self._snapshot(job, k, 20.0 + k + 2 * tile)
        np.save(job.output, self._picture(4))
        words = (job.task, "balanced", str(job.settings.network), 0, "cpu", "float32")
        yield Result(
            str(job.output), *words, width, height, self.tiles, "all iterations done",
            self.iterations, 4, 24.0, 0.1, "white", 1.5, parameters=1234,
        )  # fmt: skip

    def _picture(self, k: int) -> np.ndarray:
        return self.truth + np.float32(0.01 * (1 + abs(k - 3)))

    def _snapshot(self, job: Job, k: int, psnr: float) -> Snapshot:
        path = job.snapshots / f"{k}.npy"
        np.save(path, self._picture(k))
        height, width = self.truth.shape[:2]
        pixels = np.rint(self._picture(k) * 255).astype(np.uint8).tobytes()
        return Snapshot(k, k, str(path), psnr, width, height, pixels, loss=0.5 / (k + 1))


def tried(
    folder: Path, *, with_truth: bool = True, **engine: int
) -> tuple[Comparison, list[Event]]:
    """Return a comparison of one network after a fit that went as planned."""
    truth = np.full((12, 16, 3), 0.5)
    for name in ("in", "truth"):
        np.save(folder / f"{name}.npy", truth.astype(np.float32))
    job = Job("denoise", folder / "in.npy", folder, settings=Settings(iterations=5))
    path = folder / "truth.npy" if with_truth else None
    comparison = Comparison(job, {"fast": "up"}, path)
    events = list(comparison.trials[0].run(FakeEngine(truth, **engine), folder))  # type: ignore[arg-type]
    assert sorted(path.name for path in folder.iterdir()) == ["in.npy", "truth.npy"]
    return comparison, events


def test_stop_peak_and_last_are_told_apart(tmp_path: Path) -> None:
    comparison, events = tried(tmp_path)
    (trial,) = comparison.trials
    assert isinstance(events[-1], Result)
    assert [point.iteration for point in trial.points] == [1, 2, 3, 4, 5]
    assert trial.peak == (3, pytest.approx(40, abs=0.01))
    assert trial.stop_psnr == pytest.approx(33.98, abs=0.01)
    assert trial.gap == pytest.approx(6.02, abs=0.02)
    assert trial.last_psnr == pytest.approx(30.46, abs=0.01)
    assert list(trial.frames) == [1, 2, 3, 4, 5]
    assert trial.is_tested
    assert psnr_label(comparison) == "PSNR to the truth (dB)"
    assert comparison.input_psnr == 99


def test_without_truth_the_estimate_counts(tmp_path: Path) -> None:
    comparison, _ = tried(tmp_path, with_truth=False)
    (trial,) = comparison.trials
    assert trial.peak == (5, 25)
    assert trial.stop_psnr == 24
    assert trial.gap is None
    assert comparison.input_psnr is None
    assert "held-out" in psnr_label(comparison)


def test_tiles_are_averaged(tmp_path: Path) -> None:
    comparison, _ = tried(tmp_path, tiles=2)
    (trial,) = comparison.trials
    assert trial.points[0] == Point(1, 0.25, 22, pytest.approx(30.46, abs=0.01))
    assert len(trial.points) == len(trial.frames) == 5


def test_a_fit_without_snapshots_has_its_result(tmp_path: Path) -> None:
    comparison, _ = tried(tmp_path, iterations=0)
    (trial,) = comparison.trials
    assert len(trial.points) == len(trial.frames) == 1
    assert trial.gap == 0
    assert len(list(Film([trial]).frames())) == 1


def test_a_film_shows_what_there_is_of_each_network(tmp_path: Path) -> None:
    fits = [tried(tmp_path)[0].trials[0] for _ in range(4)]
    del fits[1].frames[1], fits[1].frames[4]
    film = Film(fits)
    frames = list(film.frames())
    assert len(frames) == 5
    assert all(frame.size == film.size for frame in frames)
    assert film.size[0] % 2 == film.size[1] % 2 == 0
    colors = {pixel for _, pixel in frames[0].getcolors(10**6)}
    shown = {np.uint8(round((0.5 + 0.01 * (1 + abs(k - 3))) * 255)) for k in (1, 2)}
    assert {(n, n, n) for n in shown} <= colors


def test_a_film_is_dense_at_its_beginning() -> None:
    for iterations in (1, 7, 40, 600, 100_000):
        chosen = film_iterations(iterations)
        assert 1 <= len(chosen) <= min(FRAMES, iterations)
        assert chosen[0] >= 1
        assert chosen[-1] == iterations
    steps = np.diff(film_iterations(100_000))
    assert (np.diff(steps) >= -1).all()


def test_what_is_missing_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(DipError, match="matplotlib is not installed") as caught:
        require_matplotlib()
    assert "[report]" in caught.value.hint
    monkeypatch.setitem(sys.modules, "av", None)
    (trial,) = tried(tmp_path)[0].trials
    assert not Film([trial]).write_mp4(tmp_path / "film.mp4")


def test_networks_are_named_in_order() -> None:
    assert parse_networks("fast, skip") == {"fast": "up", "skip": "skip"}
    with pytest.raises(InputError, match="twice"):
        parse_networks("skip,skip")


def test_a_folder_is_whole_or_absent(tmp_path: Path) -> None:
    target, names = tmp_path / "out", ("a", "b")

    def fail(*, force: bool) -> None:
        with new_folder(target, names, force=force) as folder:
            (folder / "a").write_text("half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail(force=False)
    assert not list(tmp_path.iterdir())
    with new_folder(target, names, force=False) as folder:
        (folder / "a").write_text("old")
        assert not target.exists()
    with pytest.raises(ZeroDivisionError):
        fail(force=True)
    assert (target / "a").read_text() == "old"
    with new_folder(target, names, force=True) as folder:
        (folder / "b").write_text("new")
    assert [file.name for file in target.iterdir()] == ["b"]
    assert list(tmp_path.iterdir()) == [target]


def test_a_folder_with_other_files_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out/holiday.jpg").touch()
    (tmp_path / "file").touch()
    for name, words in (("out", "holds holiday.jpg"), ("file", "is a file")):
        with (
            pytest.raises(OutputError, match=words),
            new_folder(tmp_path / name, ("a",), force=True),
        ):
            pytest.fail("there is nothing to do")
    assert (tmp_path / "out/holiday.jpg").exists()
