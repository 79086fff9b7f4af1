"""``dip-batch`` as a user meets it, with a real engine process that makes up its results."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from PIL import Image

from dip_batch.cli import main
from dip_batch.display import DONE_WORDS
from dip_batch.estimate import estimate
from dip_engine.job import Settings
from dip_engine.tasks import PRESETS, TASKS

ENGINE = Path(__file__).with_name("batch_engine.py")


class Bench:
    """A folder of photos and an engine that notes what it is asked."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.photos = folder / "photos"
        self.out = folder / "photos-restored"
        self.log = folder / "engine-log"
        self.photos.mkdir()

    def add(self, *names: str) -> None:
        for name in names:
            path = self.photos / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(name.encode("utf-8", "surrogateescape"))

    def command(self, *arguments: str | Path, seconds: float = 0) -> list[str]:
        engine = shlex.join([sys.executable, str(ENGINE), str(self.log), str(seconds)])
        task = () if "--task" in arguments else ("--task", "denoise")
        alone = () if {"--workers", "--device"} & set(arguments) else ("--workers", "1")
        return [*map(str, arguments), *task, *alone, "--engine", engine]

    def run(self, *arguments: str | Path, seconds: float = 0) -> Result:
        command = self.command(*(arguments or (self.photos,)), seconds=seconds)
        return CliRunner().invoke(main, command)

    def restored(self) -> list[str]:
        """Return the names of the pictures the engine has done, in order."""
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        return [line.split("'")[1] for line in lines if line.startswith("done")]

    def report(self) -> dict[str, Any]:
        report: dict[str, Any] = json.loads((self.out / "report.json").read_text())
        return report

    def leftovers(self) -> list[Path]:
        return list(self.folder.rglob("*.dip-tmp")) + list(self.folder.rglob("lock"))


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_a_folder_is_restored_and_reported(bench: Bench) -> None:
    bench.add("p2.png", "p10.png", "trip/cat.jpg")
    result = bench.run()
    assert result.exit_code == 0, result.output
    assert bench.restored() == ["p2.png", "p10.png", "cat.jpg"]
    assert (bench.out / "trip" / "cat.jpg").read_bytes() == b"trip/cat.jpg"
    assert "[1/3] p2.png  denoised in 0.0 s, noise 25.0, stopped: held-out" in result.stdout
    assert "3 done in " in result.stdout
    assert result.stderr == ""
    report = bench.report()
    assert report["totals"].items() >= {"pictures": 3, "done": 3, "failed": 0}.items()
    assert report["settings"]["preset"] == "balanced"
    picture = report["pictures"][2]
    assert picture["input"] == str(bench.photos / "trip" / "cat.jpg")
    expected = {"status": "done", "snapshot": 17, "noise_kind": "white", "width": 4, "seed": 0}
    assert picture.items() >= expected.items()
    assert picture["versions"] == {"torch": "2"}
    assert not bench.leftovers()


def test_a_picture_that_fails_does_not_stop_the_others(bench: Bench) -> None:
    bench.add("a.png", "broken.png", "crash.png", "memory.png", "once.png", "warn.png")
    result = bench.run()
    assert result.exit_code == 1
    assert bench.restored() == ["a.png", "once.png", "warn.png"]
    assert "broken.png  failed: broken.png is damaged. Copy it again." in result.stderr
    assert "crash.png  failed: The engine was killed by SIGKILL" in result.stderr
    assert "memory.png is too large" in result.stderr
    assert "warn.png: The picture is small." in result.stderr
    assert "3 done, 3 failed in " in result.stdout
    assert (bench.out / ".dip-batch" / "engine.log").exists()
    assert "engine.log" in result.stdout
    failed = {p["input"]: p["reason"] for p in bench.report()["pictures"] if p["reason"]}
    assert len(failed) == 3
    assert failed[str(bench.photos / "broken.png")] == "broken.png is damaged."
    again = bench.run()
    assert again.exit_code == 1
    assert "Skipped 3 pictures: already done." in again.stdout
    assert bench.restored() == ["a.png", "once.png", "warn.png"]
    assert bench.log.read_text().count("'crash.png'") == 4  # twice in each run, no more


@pytest.mark.parametrize(
    ("engine", "sentence"),
    [("/no/such/engine", "cannot be started"), (f"{sys.executable} -c pass", "ended with exit")],
)
def test_without_an_engine_nothing_is_tried_further(
    bench: Bench, engine: str, sentence: str
) -> None:
    bench.add("a.png", "b.png")
    arguments = [str(bench.photos), "--task", "denoise", "--engine", engine]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 3
    assert result.stderr.count(sentence) == 1
    assert bench.report()["totals"]["left"] == 2
    assert sentence in bench.report()["ending"]


def test_without_a_device_nothing_is_tried_further(bench: Bench) -> None:
    bench.add("a.png", "nodevice.png", "z.png")
    result = bench.run()
    assert result.exit_code == 3
    assert "There is no device cuda:9. Choose another." in result.stderr
    assert bench.restored() == ["a.png"]


def test_a_lost_device_gets_a_fresh_process(bench: Bench) -> None:
    bench.add("lost.png")
    assert bench.run().exit_code == 0
    assert bench.restored() == ["lost.png"]


def test_each_device_has_a_worker(bench: Bench) -> None:
    bench.add(*(f"p{number}.png" for number in range(6)))
    command = [sys.executable, "-m", "dip_batch"]
    command += bench.command(bench.photos, "--device", "cuda:0, cuda:1,cuda:0", seconds=0.2)
    subprocess.run(command, check=True, capture_output=True)
    assert sorted(bench.restored()) == [f"p{number}.png" for number in range(6)]
    log = bench.log.read_text()
    assert log.count("done") == 6
    assert "cuda:0" in log
    assert "cuda:1" in log


def test_a_report_that_cannot_be_written_is_told_and_the_rest_is_done(bench: Bench) -> None:
    bench.add("a.png")
    (bench.out / "report.json").mkdir(parents=True)
    result = bench.run()
    assert result.exit_code == 1
    assert "report.json cannot be written" in result.stderr
    assert "The pictures are not affected." in result.stderr
    assert bench.restored() == ["a.png"]
    assert not bench.leftovers()


def test_a_second_run_has_nothing_to_do_and_keeps_the_report(bench: Bench) -> None:
    bench.add("a.png", "b.png")
    bench.run()
    result = bench.run()
    assert result.exit_code == 0
    assert "Skipped 2 pictures: already done." in result.stdout
    assert len(bench.restored()) == 2
    pictures = bench.report()["pictures"]
    assert {p["status"] for p in pictures} == {"skipped"}
    assert {p["stop_reason"] for p in pictures} == {"held-out error stopped falling"}


def test_exists_decides_about_what_is_there(bench: Bench) -> None:
    bench.add("a.png", "b.png")
    bench.out.mkdir()
    (bench.out / "a.png").write_bytes(b"the user's")
    refused = bench.run(bench.photos, "--exists", "fail")
    assert refused.exit_code == 2
    assert "a.png exists" in refused.stderr
    assert sorted(path.name for path in bench.out.iterdir()) == ["a.png"]
    kept = bench.run(bench.photos)
    assert "Skipped 1 picture: exists." in kept.stdout
    assert (bench.out / "a.png").read_bytes() == b"the user's"
    bench.run(bench.photos, "--exists", "overwrite")
    assert (bench.out / "a.png").read_bytes() == b"a.png"
    assert bench.restored() == ["b.png", "a.png", "b.png"]
    other = bench.run(bench.photos, "--seed", "7")
    assert "made with other settings; use --exists overwrite" in other.stdout


def test_a_single_file_leaves_nothing_but_its_result(bench: Bench) -> None:
    bench.add("a.png")
    result = bench.run(bench.photos / "a.png")
    assert result.exit_code == 0
    assert sorted(path.name for path in bench.photos.iterdir()) == ["a-restored.png", "a.png"]
    assert "a-restored.png" in result.stdout
    assert "Report" not in result.stdout
    assert "Skipped 1 picture: exists." in bench.run(bench.photos / "a.png").stdout


def test_json_is_alone_on_stdout(bench: Bench) -> None:
    bench.add("equal.png", "broken.png")
    result = bench.run(bench.photos, "--json")
    assert result.exit_code == 1
    report = json.loads(result.stdout)
    assert report == bench.report()
    assert [p["status"] for p in report["pictures"]] == ["failed", "done"]
    assert report["pictures"][1]["psnr"] is None  # JSON knows no infinity
    assert "1 done, 1 failed" in result.stderr


def test_quiet_tells_only_what_went_wrong(bench: Bench) -> None:
    bench.add("a.png", "broken.png")
    result = bench.run(bench.photos, "--quiet")
    assert result.stdout == ""
    assert result.stderr.count("\n") == 1


def test_a_missing_mask_fails_one_picture(bench: Bench) -> None:
    bench.add("a.png", "b.png", "b_mask.png")
    arguments = ("--task", "inpaint", "--mask-dir", bench.photos)
    result = bench.run(bench.photos, *arguments)
    assert result.exit_code == 1
    assert "There is no mask for" in result.stderr
    assert bench.restored() == ["b.png"]
    assert bench.report()["pictures"][1]["mask"] == str(bench.photos / "b_mask.png")


def test_dry_run_writes_nothing_and_estimates(bench: Bench) -> None:
    Image.new("RGB", (1000, 500)).save(bench.photos / "a.png")
    bench.add("b.png")
    result = bench.run(bench.photos, "--dry-run", "--time-limit", "600")
    assert result.exit_code == 0
    assert "a.png  1000×500, about " in result.stdout
    assert "b.png  would fail: " in result.stdout
    assert "rough estimate" in result.stdout
    assert not bench.out.exists()
    assert not bench.log.exists()
    values = json.loads(bench.run(bench.photos, "--dry-run", "--json").stdout)
    assert [p["status"] for p in values["pictures"]] == ["planned", "failed"]
    assert values["rough_estimate"]["seconds"] == values["pictures"][0]["seconds"] > 0


def test_dry_run_foresees_a_mask_of_another_size(bench: Bench) -> None:
    Image.new("RGB", (40, 30)).save(bench.photos / "a.png")
    Image.new("RGB", (30, 30)).save(bench.folder / "mask.png")
    mask = ("--mask", bench.folder / "mask.png")
    result = bench.run(bench.photos, "--dry-run", "--task", "inpaint", *mask)
    assert "a.png  would fail: " in result.stdout
    assert "mask.png is 30×30 pixels, but the picture is 40×30" in result.stdout


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("task", [task.name for task in TASKS])
def test_every_task_has_an_estimate_and_a_word_for_what_was_done(task: str, preset: str) -> None:
    cost = estimate(task, Settings(preset=preset), (512, 512), 2)
    assert cost.seconds > 1
    assert cost.gigabytes > 0.5
    assert DONE_WORDS[task]


def test_estimates_grow_with_pixels_and_shrink_with_devices() -> None:
    def seconds(task: str = "denoise", **settings: Any) -> float:
        return estimate(task, Settings(**settings), (1000, 1000), cores=2).seconds

    assert seconds(preset="fast") < seconds() < seconds(preset="best") < seconds(preset="paper")
    assert seconds(device="cuda:1") < seconds()
    assert seconds(time_limit=60.0) == 60
    assert seconds("super-resolution", factor=8) > 3 * seconds("super-resolution", factor=4)
    large = estimate("denoise", Settings(), (1000, 1000), cores=64)
    huge = estimate("denoise", Settings(), (10_000, 10_000), cores=64)
    assert large.gigabytes < huge.gigabytes < 20 * large.gigabytes
    paper = estimate("denoise", Settings(preset="paper"), (1000, 1000), cores=2)
    assert paper.gigabytes > 4


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["photos", "--task", "denoise"], "No pictures were found"),
        (["nowhere", "--task", "denoise"], "does not exist"),
        (["photos"], "--task"),
        ([], "INPUT"),
        (["photos", "--task", "colour"], "colour"),
        (["photos", "--task", "denoise", "-o", "photos"], "both input and output"),
        (
            ["photos", "--task", "super-resolution", "--mask-color", "ff0000"],
            "--mask-color means nothing",
        ),
        (["photos", "--task", "inpaint", "--factor", "2"], "--factor means nothing"),
        (["photos", "--task", "inpaint", "--mask-color", "red"], "red"),
        (["photos", "--task", "inpaint", "--mask", "nowhere.png"], "does not exist"),
        (
            ["photos", "--task", "inpaint", "--mask-dir", "photos", "--mask-color", "ff0000"],
            "--mask-dir and --mask-color",
        ),
    ],
)
def test_wrong_usage_is_said_before_any_work(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, arguments: list[str], sentence: str
) -> None:
    monkeypatch.chdir(bench.folder)
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 2
    assert sentence in result.stderr
    assert list(bench.folder.iterdir()) == [bench.photos]


def test_settings_reach_the_engine(bench: Bench) -> None:
    bench.add("a.png")
    result = bench.run(bench.photos, "--noise-level", "51", "--seed", "9", "--preset", "fast")
    assert result.exit_code == 0
    assert bench.report()["settings"]["noise_std"] == pytest.approx(0.2)
    assert bench.report()["pictures"][0]["seed"] == 9


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse such names")
def test_any_file_name_goes_through(bench: Bench) -> None:
    names = [os.fsdecode(b"b\xff.png"), "[red]x[.png", "\x1b[31mline\nfeed.png", "猫" * 60 + ".png"]
    bench.add(*names)
    bench.add("[bold]broken\udcff.png")
    command = [sys.executable, "-m", "dip_batch", *bench.command(bench.photos)]
    environment = os.environ | {"LC_ALL": "C"}
    done = subprocess.run(command, check=False, capture_output=True, env=environment)
    assert done.returncode == 1, done.stderr
    assert sorted(path.name for path in bench.out.glob("*.png")) == sorted(names)
    assert b"[red]x[.png" in done.stdout
    assert b"\x1b" not in done.stdout
    assert b"[bold]broken" in done.stderr


def test_the_terminal_shows_bars_in_80_columns(bench: Bench) -> None:
    import pty

    bench.add("a" * 100 + ".png", "[red]broken.png")
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "dip_batch", *bench.command(bench.photos, seconds=0.6)]
    environment = os.environ | {"COLUMNS": "80", "TERM": "xterm-256color"}
    with subprocess.Popen(command, stdout=theirs, stderr=theirs, env=environment) as process:
        os.close(theirs)
        shown = b""
        try:
            while part := os.read(ours, 65536):
                shown += part
        except OSError:  # how Linux says that the other side has closed
            pass
    os.close(ours)
    assert process.returncode == 1
    for expected in ("All pictures", "10/20", "31.4 dB", "0:00 left", "aaa…aaa", "1 failed"):
        assert expected.encode() in shown, expected
    assert b"[red]broken.png" in shown
    assert shown.rstrip().endswith(b"engine.log")
    assert b"\x1b[?25h" in shown  # the cursor is back


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["IN", "--dry-run"]])
def test_torch_is_never_loaded(bench: Bench, arguments: list[str]) -> None:
    Image.new("RGB", (8, 8)).save(bench.photos / "a.png")
    code = (
        "import sys\nfrom dip_batch.cli import main\n"
        "try:\n    main()\nfinally:\n"
        "    assert not {'torch', 'skimage', 'onnxruntime'} & set(sys.modules)\n"
    )
    real = [str(bench.photos) if word == "IN" else word for word in arguments]
    task = ["--task", "denoise"] if "IN" in arguments else []
    command = [sys.executable, "-c", code, *real, *task]
    done = subprocess.run(command, check=False, capture_output=True)
    assert done.returncode == 0, done.stderr
