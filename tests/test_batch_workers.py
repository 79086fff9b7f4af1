"""How a batch shares out pictures, cores and memory."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from PIL import Image
from test_batch_cli import Bench

from dip_batch import mps, workers
from dip_batch.journal import Stamp
from dip_batch.plan import Item
from dip_batch.todo import Todo
from dip_batch.workers import Worker, share_out
from dip_engine import processes
from dip_engine.job import Job, Settings


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Four cores, much memory and no GPU."""
    monkeypatch.setattr(workers, "free_cores", lambda: 4)
    monkeypatch.setattr(workers, "find_library", lambda name: None)
    monkeypatch.setattr(workers, "_SIGNS_OF_A_GPU", ())
    monkeypatch.setattr(workers, "_free_gigabytes_of_gpus", lambda: 0.0)
    monkeypatch.setattr(processes, "_CGROUP", Path("none"))
    memory(monkeypatch, 64)


def memory(monkeypatch: pytest.MonkeyPatch, gigabytes: float) -> None:
    free = psutil.virtual_memory()._replace(available=int(gigabytes * 1e9))
    monkeypatch.setattr(psutil, "virtual_memory", lambda: free)


def todos(folder: Path, count: int, *, preset: str = "balanced") -> list[Todo]:
    path = folder / "p.png"
    Image.new("RGB", (700, 700)).save(path)
    job = Job("denoise", path, folder / "out.png", settings=Settings(preset=preset))
    return [Todo(Item(path, job.output, "p.png", None), job, Stamp.of(job))] * count


@pytest.mark.usefixtures("machine")
@pytest.mark.parametrize(
    ("pictures", "wanted", "shares"),
    [(100, None, [1] * 4), (2, None, [2, 2]), (1, None, [None]), (100, 2, [2, 2]), (0, 3, [None])],
)
def test_cores_are_shared_out(
    tmp_path: Path, pictures: int, wanted: int | None, shares: list[int | None]
) -> None:
    found = share_out(["cpu"], todos(tmp_path, pictures), wanted)
    assert [worker.threads for worker in found] == shares


@pytest.mark.usefixtures("machine")
def test_memory_limits_the_workers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    memory(monkeypatch, 12)
    assert len(share_out(["cpu"], todos(tmp_path, 100))) == 4
    assert len(share_out(["cpu"], todos(tmp_path, 100, preset="paper"))) == 1


@pytest.mark.usefixtures("machine")
def test_the_memory_of_a_container_limits_the_workers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "_CGROUP", tmp_path)
    (tmp_path / "memory.current").write_text("3000000000\n")
    (tmp_path / "memory.stat").write_text("anon 2000000000\ninactive_file 1000000000\n")
    (tmp_path / "memory.max").write_text("8000000000\n")
    assert len(share_out(["cpu"], todos(tmp_path, 100))) == 2
    (tmp_path / "memory.max").write_text("max\n")
    assert len(share_out(["cpu"], todos(tmp_path, 100))) == 4


@pytest.mark.usefixtures("machine")
def test_a_gpu_that_does_not_tell_its_memory_gets_one_worker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    many = todos(tmp_path, 100)
    assert [w.device for w in share_out(["cuda:0", "cuda:1"], many)] == ["cuda:0", "cuda:1"]
    assert [w.device for w in share_out(["cuda:0", "cuda:1"], many, 2)] == ["cuda:0", "cuda:1"] * 2
    assert len(share_out(["auto"], many)) == 4
    monkeypatch.setattr(workers, "find_library", lambda name: f"lib{name}.so.1")
    assert len(share_out(["auto"], many)) == 1


@pytest.mark.parametrize(
    ("told", "together", "count"),
    [
        ("81000\n", False, 4),
        ("81000\n", True, 8),
        ("12000\n", False, 2),
        ("12000\n", True, 2),
        ("81000\n3000\n", True, 1),
        ("[N/A]\n", True, 1),
        ("", True, 1),
    ],
)
def test_the_free_memory_of_a_gpu_tells_how_many_workers_it_gets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, told: str, together: bool, count: int
) -> None:
    monkeypatch.setattr(mps, "is_there", lambda: together)
    tool = tmp_path / "bin" / "nvidia-smi"
    tool.parent.mkdir()
    tool.write_text(f"#!/bin/sh\ncat <<'END'\n{told}END\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tool.parent), prepend=":")
    monkeypatch.setattr(workers, "free_cores", lambda: 8)
    monkeypatch.setattr(processes, "_CGROUP", Path("none"))
    memory(monkeypatch, 64)
    found = share_out(["cuda:0"], todos(tmp_path, 100))
    assert [worker.device for worker in found] == ["cuda:0"] * count
    assert len(share_out(["cuda:0"], todos(tmp_path, 100), 3)) == 3
    shared = share_out([f"cuda:{number}" for number in range(4)], todos(tmp_path, 100))
    assert len(shared) == 4 * min(count, 2)  # of eight cores


@pytest.mark.usefixtures("machine")
@pytest.mark.parametrize("content", [b"no picture", b"\x93NUMPY\x01\x00\x10\x00{'descr': '<f4\n"])
def test_a_picture_that_cannot_be_read_does_not_count(tmp_path: Path, content: bytes) -> None:
    broken = todos(tmp_path, 100, preset="paper")
    broken[0].job.input.write_bytes(content)
    assert len(share_out(["cpu"], broken)) == 4


@pytest.mark.usefixtures("machine")
def test_the_largest_file_counts_wherever_it_is(tmp_path: Path) -> None:
    small = todos(tmp_path, 300)
    path = tmp_path / "large.png"
    Image.new("RGB", (16_000, 8000)).save(path)
    job = replace(small[0].job, input=path)
    large = Todo(Item(path, job.output, "large.png", None), job, Stamp.of(job))
    assert len(share_out(["cpu"], small)) == 4
    assert len(share_out(["cpu"], [*small, large])) == 1


@pytest.mark.usefixtures("machine")
def test_a_time_limit_is_for_all_cores(tmp_path: Path) -> None:
    limited = [
        replace(todo, job=replace(todo.job, settings=Settings(time_limit=9.0)))
        for todo in todos(tmp_path, 9)
    ]
    assert share_out(["cpu"], limited) == [Worker("cpu", None)]


@pytest.mark.usefixtures("machine")
@pytest.mark.parametrize("count", [1, 2, 9])
def test_what_is_deterministic_does_not_depend_on_how_many_there_are(
    tmp_path: Path, count: int
) -> None:
    exact = [
        replace(todo, job=replace(todo.job, settings=Settings(deterministic=True)))
        for todo in todos(tmp_path, count)
    ]
    assert {worker.threads for worker in share_out(["cpu"], exact)} == {1}


def test_each_picture_is_done_once(bench: Bench) -> None:
    bench.add(*(f"p{number}.png" for number in range(4)))
    result = bench.run(bench.photos, "--workers", "4")
    assert result.exit_code == 0
    assert sorted(bench.restored()) == [f"p{number}.png" for number in range(4)]
    assert bench.report()["workers"] == 4


def test_two_are_begun_before_one_is_done(bench: Bench) -> None:
    bench.add("a.png", "b.png")
    result = bench.run(bench.photos, "--workers", "2", seconds=0.5)
    assert result.exit_code == 0
    lines = [line.split()[0] for line in bench.log.read_text().splitlines()]
    assert lines == ["begin", "begin", "done", "done"]


def test_what_is_too_large_beside_others_is_tried_again_alone(bench: Bench) -> None:
    bench.add("a.png", "crash.png", "huge.png", "large.png", "memory.png", "z.png")
    result = bench.run(bench.photos, "--workers", "2")
    assert result.exit_code == 1
    assert sorted(bench.restored()[:2]) == ["a.png", "z.png"]
    assert sorted(bench.restored()[2:]) == ["huge.png", "large.png"]
    assert result.stderr.count("It is tried again alone when the others are done.") == 4
    assert "large.png is too large. It is tried again alone" in result.stderr
    failed = {Path(p["input"]).name for p in bench.report()["pictures"] if p["status"] == "failed"}
    assert failed == {"crash.png", "memory.png"}
    assert "memory.png is too large. Use the preset fast." in result.stderr
    assert not bench.leftovers()


def test_what_waits_to_be_tried_alone_is_left_when_the_run_ends(bench: Bench) -> None:
    bench.add("large.png", "nodevice.png")
    result = bench.run(bench.photos, "--workers", "2")
    assert result.exit_code == 3
    assert bench.report()["totals"]["left"] == 2
    assert bench.restored() == []


def test_a_dry_run_tells_the_memory_of_all_workers(bench: Bench) -> None:
    for name in ("a.png", "b.png"):
        Image.new("RGB", (40, 30)).save(bench.photos / name)
    alone = bench.run(bench.photos, "--dry-run")
    both = bench.run(bench.photos, "--dry-run", "--workers", "2")

    def gigabytes(text: str) -> float:
        found = re.search(r"([\d.]+) GB of memory", text)
        assert found is not None
        return float(found[1])

    assert gigabytes(both.stdout) == pytest.approx(2 * gigabytes(alone.stdout), abs=0.11)
    values = json.loads(bench.run(bench.photos, "--dry-run", "--json", "--workers", "2").stdout)
    assert values["rough_estimate"]["workers"] == 2
