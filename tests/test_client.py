"""The client with real engine processes; only what they restore is made up."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil  # type: ignore[import-untyped]
import pytest

from dip_engine.client import Engine
from dip_engine.errors import (
    Cancelled,
    DipError,
    InputError,
    OutOfMemory,
    OutputError,
    ProtocolError,
)
from dip_engine.events import Event, Preview, Progress, Result, Started
from dip_engine.job import Job
from dip_engine.protocol import check_hello, read_frame, write_frame

# The name of the input says what the fake restoration does; the rest is the real engine process.
FAKE_ENGINE = '''
import ctypes, gc, os, signal, sys, time, weakref
from dip_engine.errors import InputError, OutOfMemory
from dip_engine.events import Preview, Progress, Result, Started
from dip_engine.worker import serve

VARIABLES = ("PYTHONPATH", "LD_LIBRARY_PATH", "MALLOC_ARENA_MAX", "GLIBC_TUNABLES")


class OutOfMemoryError(RuntimeError):
    """Named like torch's."""


class Large:
    """What a job needs much memory for."""


def progress(i):
    return Progress("fit", 0.0, i, 100, None, None, 0.0, None)


def restore_events(job, stop):
    what = job.input.stem
    reason = "finished"
    yield Started(4, 3, 1, "skip", "cpu", "float32")
    if what == "slow":
        started = time.monotonic()
        try:
            while not stop.is_set() and time.monotonic() < started + 60:
                yield progress(1)
                time.sleep(0.02)
        finally:
            job.output.write_text("cleaned up")
        reason = "stopped"
    elif what == "deaf":  # a C library that keeps the interpreter lock
        ctypes.PyDLL(None).sleep(60)
    elif what == "print":
        print("stray", flush=True)
        os.write(1, b"strayer" * 1000)
        os.system("echo strayest")
        reason = "read " + repr(sys.stdin.read())
    elif what == "flood":
        for _ in range(1024):
            sys.stderr.write("x" * 1023 + "\\n")
    elif what in ("SIGKILL", "SIGSEGV", "SIGINT"):
        sys.stderr.write("the last line\\n\\n")
        os.kill(os.getpid(), getattr(signal, what))
    elif what == "silent":
        os.kill(os.getpid(), signal.SIGKILL)
    elif what == "exit":
        sys.stderr.write("good bye\\n")
        os._exit(7)
    elif what == "input":
        raise InputError("input.png is no picture.", "Open it in a viewer.")
    elif what == "bug":
        raise ZeroDivisionError("a bug")
    elif what == "memory":
        bytearray(2**62)
    elif what == "gpu-memory":
        raise OutOfMemoryError("CUDA out of memory")
    elif what == "full":
        gc.disable()  # or it may tidy up by chance
        restore_events.large = weakref.ref(large := Large())
        try:
            raise MemoryError
        except MemoryError as error:
            failure = OutOfMemory("It is full.")  # which holds this frame, which holds it
            raise failure from error
    elif what == "after-full":
        reason = "kept" if restore_events.large() else "freed"
    elif what == "no-result":
        return
    for i in range(3):
        yield progress(i)
        yield Preview(i, 4, 3, bytes(range(36)) * 1)
    variables = {name: os.environ.get(name, "") for name in VARIABLES}
    yield Result(
        str(job.output), job.task, "fast", "skip", 0, "cpu", "float32", 4, 3, 1, reason, 3, 3,
        None, None, None, 0.1, variables | {"threads": os.environ.get("OMP_NUM_THREADS", "")},
        ("be careful",),
    )


if __name__ == "__main__":
    sys.exit(serve(restore_events))
'''

LONG = 30.0  # seconds; a deadline for a busy machine, never the time a test takes


@pytest.fixture
def command(tmp_path: Path) -> list[str]:
    script = tmp_path / "fake_engine.py"
    script.write_text(FAKE_ENGINE)
    return [sys.executable, str(script)]


@pytest.fixture
def engine(command: list[str], tmp_path: Path) -> Iterator[Engine]:
    with Engine(command, log=tmp_path / "engine.log") as engine:
        yield engine


@pytest.fixture
def job(tmp_path: Path) -> Callable[[str], Job]:
    return lambda what: Job("denoise", Path(f"{what}.png"), tmp_path / f"{what}-out.png")


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + LONG
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.02)


def result_of(engine: Engine, job: Job) -> Result:
    result = list(engine.run(job))[-1]
    assert isinstance(result, Result)
    return result


def is_gone(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


def test_a_job_yields_its_events_in_order(engine: Engine, job: Callable[[str], Job]) -> None:
    events: list[Event] = list(engine.run(job("fine")))
    assert [type(event) for event in events] == [Started, *[Progress, Preview] * 3, Result]
    assert events[0] == Started(4, 3, 1, "skip", "cpu", "float32")
    assert events[2] == Preview(0, 4, 3, bytes(range(36)))
    result = events[-1]
    assert isinstance(result, Result)
    assert result.output == str(job("fine").output)
    assert result.warnings == ("be careful",)


def test_one_process_does_many_jobs(engine: Engine, job: Callable[[str], Job]) -> None:
    assert not engine.alive
    assert engine.pid is None
    assert result_of(engine, job("one")).stop_reason == "finished"
    pid = engine.pid
    assert pid is not None
    for failing in ("input", "bug"):
        with pytest.raises(DipError, match=failing):
            list(engine.run(job(failing)))
        assert result_of(engine, job("two")).stop_reason == "finished"
    assert engine.alive
    assert engine.pid == pid


@pytest.mark.parametrize(
    ("what", "kind", "words"),
    [
        ("input", InputError, "input.png is no picture. Open it in a viewer."),
        ("bug", DipError, "bug.png could not be restored: ZeroDivisionError: a bug."),
        ("memory", OutOfMemory, "memory.png does not fit into the memory."),
        ("gpu-memory", OutOfMemory, "gpu-memory.png does not fit into the memory."),
        ("no-result", DipError, "no-result.png"),
    ],
)
def test_what_the_engine_raises_is_raised_here(
    engine: Engine, job: Callable[[str], Job], what: str, kind: type[DipError], words: str
) -> None:
    with pytest.raises(DipError) as caught:
        list(engine.run(job(what)))
    assert type(caught.value) is kind
    assert words in str(caught.value)
    assert caught.value.hint
    assert engine.alive


def test_a_job_that_fails_leaves_nothing_in_memory(
    engine: Engine, job: Callable[[str], Job]
) -> None:
    with pytest.raises(OutOfMemory):
        list(engine.run(job("full")))
    assert result_of(engine, job("after-full")).stop_reason == "freed"


def test_the_traceback_of_a_bug_is_in_the_log(
    engine: Engine, job: Callable[[str], Job], tmp_path: Path
) -> None:
    with pytest.raises(DipError):
        list(engine.run(job("bug")))
    engine.close()
    log = (tmp_path / "engine.log").read_text()
    assert "Traceback" in log
    assert 'raise ZeroDivisionError("a bug")' in log


def test_stop_ends_with_a_result(engine: Engine, job: Callable[[str], Job]) -> None:
    events = engine.run(job("slow"))
    assert isinstance(next(events), Started)
    threading.Thread(target=engine.stop).start()
    last = list(events)[-1]
    assert isinstance(last, Result)
    assert last.stop_reason == "stopped"


def test_cancel_raises_and_keeps_the_process(command: list[str], job: Callable[[str], Job]) -> None:
    with Engine(command, cancel_timeout=LONG) as engine:
        events = engine.run(job("slow"))
        assert isinstance(next(events), Started)
        assert isinstance(next(events), Progress)
        pid = engine.pid
        threading.Thread(target=engine.cancel).start()
        with pytest.raises(Cancelled, match=r"slow\.png"):
            list(events)
        assert job("slow").output.read_text() == "cleaned up"
        assert result_of(engine, job("fine")).stop_reason == "finished"
        assert engine.pid == pid


def test_a_consumer_that_pauses_after_cancel_costs_no_process(
    command: list[str], job: Callable[[str], Job]
) -> None:
    with Engine(command, cancel_timeout=3.0) as engine:
        events = engine.run(job("slow"))
        next(events)
        pid = engine.pid
        engine.cancel()
        time.sleep(3.3)
        with pytest.raises(Cancelled):
            list(events)
        assert engine.alive
        assert engine.pid == pid


def test_an_engine_deaf_to_cancel_is_killed(command: list[str], job: Callable[[str], Job]) -> None:
    with Engine(command, cancel_timeout=0.3) as engine:
        events = engine.run(job("deaf"))
        next(events)
        pid = engine.pid
        assert pid is not None
        began = time.monotonic()
        engine.cancel()
        with pytest.raises(Cancelled):
            list(events)
        assert time.monotonic() - began < LONG
        wait_until(lambda: is_gone(pid))
        assert result_of(engine, job("fine")).stop_reason == "finished"
        assert engine.pid != pid


def test_cancel_and_stop_without_a_job_do_nothing(
    engine: Engine, job: Callable[[str], Job]
) -> None:
    for _ in range(3):
        engine.cancel()
        engine.stop()
        assert result_of(engine, job("fine")).stop_reason == "finished"
    engine.cancel()
    events = engine.run(job("slow"))
    assert isinstance(next(events), Started)
    assert isinstance(next(events), Progress)
    events.close()


def test_a_late_cancel_does_not_hit_the_next_job(engine: Engine, job: Callable[[str], Job]) -> None:
    for _ in range(20):
        events = engine.run(job("fine"))
        for event in events:
            if isinstance(event, Result):
                engine.cancel()  # the job is done, its iterator is not
        assert result_of(engine, job("fine")).stop_reason == "finished"


@pytest.mark.parametrize("wish", ["stop", "cancel"])
def test_a_wish_before_the_first_event_counts(
    tmp_path: Path, command: list[str], job: Callable[[str], Job], wish: str
) -> None:
    gate = tmp_path / "gate"
    script = tmp_path / "late_engine.py"
    script.write_text(
        f"import pathlib, runpy, time\n"
        f"while not pathlib.Path({str(gate)!r}).exists(): time.sleep(0.02)\n"
        f"runpy.run_path({command[1]!r}, run_name='__main__')\n"
    )
    outcome: list[object] = []

    def consume(engine: Engine) -> None:
        try:
            outcome.extend(engine.run(job("slow")))
        except DipError as error:
            outcome.append(error)

    with Engine([sys.executable, str(script)], cancel_timeout=LONG) as engine:
        consumer = threading.Thread(target=consume, args=(engine,))
        consumer.start()
        wait_until(lambda: engine.alive)
        getattr(engine, wish)()
        gate.touch()
        consumer.join(LONG)
        assert not consumer.is_alive()
        assert type(outcome[-1]) is (Result if wish == "stop" else Cancelled)
        assert result_of(engine, job("fine")).stop_reason == "finished"


def test_an_abandoned_iterator_cancels_its_job(
    command: list[str], job: Callable[[str], Job]
) -> None:
    with Engine(command, cancel_timeout=LONG) as engine:
        for _ in engine.run(job("slow")):
            pid = engine.pid
            break
        assert job("slow").output.read_text() == "cleaned up"
        assert result_of(engine, job("fine")).stop_reason == "finished"
        assert engine.pid == pid


def test_an_abandoned_deaf_job_costs_the_process(
    command: list[str], job: Callable[[str], Job]
) -> None:
    with Engine(command, cancel_timeout=0.3) as engine:
        events = engine.run(job("deaf"))
        next(events)
        events.close()
        assert result_of(engine, job("fine")).stop_reason == "finished"


def test_two_jobs_at_once_are_refused(engine: Engine, job: Callable[[str], Job]) -> None:
    events = engine.run(job("slow"))
    next(events)
    with pytest.raises(RuntimeError, match=r"slow\.png"):
        next(engine.run(job("fine")))
    engine.stop()
    assert isinstance(list(events)[-1], Result)


@pytest.mark.parametrize(
    ("what", "words", "hint"),
    [
        ("SIGKILL", "was killed by SIGKILL", "the last line"),
        ("SIGSEGV", "was killed by SIGSEGV", "Fatal Python error: Segmentation fault"),
        ("silent", "was killed by SIGKILL", "memory"),
        ("exit", "ended with exit code 7", "good bye"),
    ],
)
def test_a_crash_is_told_and_the_next_job_works(
    engine: Engine, job: Callable[[str], Job], what: str, words: str, hint: str
) -> None:
    assert result_of(engine, job("fine"))
    pid = engine.pid
    with pytest.raises(ProtocolError) as caught:
        list(engine.run(job(what)))
    assert words in caught.value.sentence
    assert f"{what}.png" in caught.value.sentence
    assert hint in caught.value.hint
    assert not engine.alive
    assert result_of(engine, job("fine"))
    assert engine.pid != pid


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no signals to send")
def test_sigterm_cleans_up_and_is_told(engine: Engine, job: Callable[[str], Job]) -> None:
    events = engine.run(job("slow"))
    assert isinstance(next(events), Started)
    assert isinstance(next(events), Progress)
    assert engine.pid is not None
    os.kill(engine.pid, signal.SIGTERM)
    with pytest.raises(ProtocolError, match=r"was killed by SIGTERM while it worked on slow\.png"):
        list(events)
    assert job("slow").output.read_text() == "cleaned up"
    assert result_of(engine, job("fine")).stop_reason == "finished"


def test_an_engine_killed_while_idle_is_replaced(engine: Engine, job: Callable[[str], Job]) -> None:
    assert result_of(engine, job("fine"))
    pid = engine.pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not engine.alive)
    assert result_of(engine, job("fine"))
    assert engine.pid != pid


def test_ctrl_c_is_left_to_the_caller(engine: Engine, job: Callable[[str], Job]) -> None:
    assert result_of(engine, job("SIGINT")).stop_reason == "finished"


def test_stray_prints_do_no_harm(engine: Engine, job: Callable[[str], Job], tmp_path: Path) -> None:
    assert result_of(engine, job("print")).stop_reason == "read ''"
    assert result_of(engine, job("fine"))
    engine.close()
    log = (tmp_path / "engine.log").read_text()
    for word in ("stray\n", "strayer", "strayest"):
        assert word in log


def test_a_flood_on_stderr_does_not_block(
    engine: Engine, job: Callable[[str], Job], tmp_path: Path
) -> None:
    assert result_of(engine, job("flood")).stop_reason == "finished"
    engine.close()
    assert (tmp_path / "engine.log").stat().st_size >= 2**20


@pytest.mark.parametrize("what", ["slow", "deaf"])
def test_the_engine_dies_with_its_caller(command: list[str], tmp_path: Path, what: str) -> None:
    if what == "deaf" and sys.platform != "linux":
        what = "slow"  # only Linux ends a process that sits on its interpreter lock
    script = tmp_path / "caller.py"
    script.write_text(
        textwrap.dedent(f"""
        import threading
        from pathlib import Path
        from dip_engine.client import Engine
        from dip_engine.job import Job

        engine = Engine({command!r})
        events = engine.run(Job("denoise", Path("{what}.png"), Path("{tmp_path}/out.png")))
        starter = threading.Thread(target=lambda: next(events))
        starter.start()
        starter.join()  # the engine must not die with the thread that happened to start it
        print(engine.pid, flush=True)
        for _ in events: pass
        """)
    )
    with subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE) as caller:
        assert caller.stdout is not None
        pid = int(caller.stdout.readline())
        time.sleep(0.3)
        assert not is_gone(pid)
        caller.kill()
    wait_until(lambda: is_gone(pid))


def test_ctrl_c_in_a_terminal_cancels_the_job(command: list[str], tmp_path: Path) -> None:
    script = tmp_path / "caller.py"
    script.write_text(
        textwrap.dedent(f"""
        from pathlib import Path
        from dip_engine.client import Engine
        from dip_engine.job import Job

        with Engine({command!r}, cancel_timeout={LONG}) as engine:
            try:
                for _ in engine.run(Job("denoise", Path("slow.png"), Path("{tmp_path}/out.png"))):
                    print(engine.pid, flush=True)
            except KeyboardInterrupt:
                print("interrupted", engine.alive)
        """)
    )
    with subprocess.Popen(
        [sys.executable, str(script)], stdout=subprocess.PIPE, start_new_session=True
    ) as caller:
        assert caller.stdout is not None
        pid = int(caller.stdout.readline())
        os.killpg(caller.pid, signal.SIGINT)  # what a terminal does
        assert caller.stdout.read().split()[-2:] == [b"interrupted", b"True"]
        assert caller.wait(LONG) == 0
    assert (tmp_path / "out.png").read_text() == "cleaned up"
    assert is_gone(pid)


def test_close_leaves_nothing_behind(command: list[str], job: Callable[[str], Job]) -> None:
    threads = set(threading.enumerate())
    engine = Engine(command)
    assert result_of(engine, job("fine"))
    pid = engine.pid
    assert pid is not None
    engine.close()
    engine.close()
    assert not engine.alive
    assert engine.pid is None
    assert not psutil.pid_exists(pid), "neither running nor a zombie"
    wait_until(lambda: set(threading.enumerate()) <= threads)


def test_close_ends_a_job_from_another_thread(
    command: list[str], job: Callable[[str], Job]
) -> None:
    engine = Engine(command)
    events = engine.run(job("deaf"))
    next(events)
    pid = engine.pid
    assert pid is not None
    closer = threading.Thread(target=engine.close)
    closer.start()
    with pytest.raises(Cancelled):
        list(events)
    closer.join(LONG)
    assert not psutil.pid_exists(pid)


def test_a_missing_engine_is_told() -> None:
    with (
        Engine(["/no/such/engine"]) as engine,
        pytest.raises(ProtocolError, match="/no/such/engine") as caught,
    ):
        next(engine.run(Job("denoise", Path("a.png"), Path("b.png"))))
    assert "install.sh" in caught.value.hint
    assert caught.value.exit_code == 3


@pytest.mark.parametrize(
    ("program", "words"),
    [
        ("import no_such_module", "ended with exit code 1 before it was ready. ModuleNotFound"),
        ("print('Hello!')", "damaged"),
        ("print('x' * 100)", "damaged"),
        ("pass", "ended with exit code 0 before it was ready."),
        (
            "import sys\nfrom dip_engine.protocol import *\n"
            "write_frame(sys.stdout.buffer, {**hello(), 'protocol': 99})",
            "speaks protocol 99",
        ),
        (
            "import sys\nfrom dip_engine.protocol import *\n"
            "write_frame(sys.stdout.buffer, hello())\n"
            "while frame := read_frame(sys.stdin.buffer):\n"
            "  write_frame(sys.stdout.buffer, {'kind': 'gibberish', 'id': frame.header['id']})",
            "nonsense",
        ),
    ],
)
def test_a_program_that_is_no_engine_is_told(
    job: Callable[[str], Job], program: str, words: str
) -> None:
    with Engine([sys.executable, "-c", program]) as engine:
        with pytest.raises(ProtocolError) as caught:
            list(engine.run(job("fine")))
        assert words in str(caught.value)
        wait_until(lambda: not engine.alive)


def test_an_engine_that_says_nothing_is_given_up(job: Callable[[str], Job]) -> None:
    program = "import sys; sys.stderr.write('one moment\\n'); sys.stdin.read()"
    with Engine([sys.executable, "-c", program], start_timeout=1.0) as engine:
        with pytest.raises(ProtocolError, match="within 1 seconds"):
            list(engine.run(job("fine")))
        assert not engine.alive


def test_a_log_that_cannot_be_written_is_told(
    command: list[str], job: Callable[[str], Job], tmp_path: Path
) -> None:
    with (
        Engine(command, log=tmp_path) as engine,
        pytest.raises(OutputError, match=str(tmp_path)),
    ):
        next(engine.run(job("fine")))


@pytest.mark.skipif(sys.platform != "linux", reason="the allocator's variables are glibc's")
def test_a_foreign_engine_gets_a_clean_environment(
    engine: Engine, job: Callable[[str], Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", "/of/gimp")
    monkeypatch.setenv("LD_LIBRARY_PATH", "/of/gimp")
    monkeypatch.setenv("MALLOC_ARENA_MAX", "3")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.delenv("GLIBC_TUNABLES", raising=False)
    assert result_of(engine, job("fine")).versions == {
        "PYTHONPATH": "",
        "LD_LIBRARY_PATH": "",
        "MALLOC_ARENA_MAX": "3",
        "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1",
        "threads": "1",
    }


def test_the_own_engine_needs_no_command(
    command: list[str], job: Callable[[str], Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Stands for a restoration that this Python finds only by its own search path.
    folder = Path(command[1]).parent
    (folder / "sitecustomize.py").write_text(
        "import sys, types\n"
        "def restore_events(job, stop):\n"
        "    import fake_engine\n"
        "    return fake_engine.restore_events(job, stop)\n"
        "module = types.ModuleType('dip_engine.restoration')\n"
        "module.restore_events = restore_events\n"
        "sys.modules[module.__name__] = module\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(folder))
    with Engine() as engine:
        result = result_of(engine, job("fine"))
        assert result.versions["PYTHONPATH"] == str(folder)
        events = engine.run(job("slow"))
        assert isinstance(next(events), Started)
        events.close()
        assert job("slow").output.read_text() == "cleaned up"


@pytest.fixture
def worker() -> Iterator[subprocess.Popen[bytes]]:
    """An engine process with the real restoration, spoken to by hand."""
    with subprocess.Popen(
        [sys.executable, "-m", "dip_engine.worker"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        yield process
        process.kill()


def test_the_worker_says_hello_unasked_and_ends_with_its_input(
    worker: subprocess.Popen[bytes],
) -> None:
    assert worker.stdin is not None
    assert worker.stdout is not None
    frame = read_frame(worker.stdout)
    assert frame is not None
    check_hello(frame)
    assert frame.header["pid"] == worker.pid
    worker.stdin.close()
    assert worker.wait(LONG) == 0
    assert read_frame(worker.stdout) is None


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"no frame at all",
        b"\0\0\0\2",
        b"\0\0\0\2\0\0\0\0{}",
        b"\0\0\0\x0e\0\0\0\0" + b'{"kind":"job"}',
    ],
)
def test_the_worker_ends_when_it_hears_nonsense(
    worker: subprocess.Popen[bytes], request_bytes: bytes
) -> None:
    assert worker.stdin is not None
    assert worker.stderr is not None
    worker.stdin.write(request_bytes)
    worker.stdin.close()
    assert worker.wait(LONG) == 3
    assert b"message" in worker.stderr.read()


def test_the_worker_refuses_a_bad_job_and_takes_the_next(
    worker: subprocess.Popen[bytes],
) -> None:
    assert worker.stdin is not None
    assert worker.stdout is not None
    read_frame(worker.stdout)
    for number in (1, 2):
        bad = {"task": "paint", "input": "a.png", "output": "b.png"}
        write_frame(worker.stdin, {"kind": "job", "id": number, "job": bad})
        frame = read_frame(worker.stdout)
        assert frame is not None
        assert frame.header["kind"] == "failed"
        assert frame.header["id"] == number
        assert frame.header["error"] == "InputError"
        assert "paint" in frame.header["sentence"]


def test_the_worker_ends_quietly_when_nobody_listens(
    command: list[str], job: Callable[[str], Job]
) -> None:
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        read_frame(process.stdout)
        process.stdout.close()
        header = {"kind": "job", "id": 1, "job": job("slow").to_json()}
        write_frame(process.stdin, header)
        assert process.wait(LONG) == 0
        assert process.stderr.read() == b""


def test_the_client_loads_neither_torch_nor_numpy() -> None:
    program = "import sys, dip_engine.client; print(*sys.modules)"
    modules = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    ).stdout.split()
    assert "dip_engine.client" in modules
    assert not {"torch", "numpy", "PIL", "click", "rich"} & set(modules)
