"""Reading and writing clips: what goes in comes out, with its times and its sound."""

from __future__ import annotations

import errno
import os
import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from moving import load_frames, load_video, packets, pan, save_frames, save_video
from PIL import Image

from dip_engine.clip_output import check_target, create_output
from dip_engine.clips import Clip, is_clip, open_clip, spread
from dip_engine.errors import DipError, InputError, OutputError
from dip_engine.video_colours import Colours, doubled, halved

LOSSY = {"codec": "libx264", "pixel_format": "yuv420p", "options": {"crf": "10"}}


def pixels(clip: Clip) -> np.ndarray:
    return np.stack([frame.pixels for frame in clip.frames()])


def copy(source: Path, target: Path) -> list[str]:
    """Read a clip, write it, and return the warnings."""
    clip = open_clip(source)
    size = clip.width, clip.height
    with create_output(target, clip, size, partial=False, threads=1) as output:
        for frame in clip.frames():
            output.write(frame, frame.pixels, frame.picture.alpha)
        output.finish()
    return [*clip.problems, *output.warnings]


def smooth(count: int = 5, height: int = 48, width: int = 64) -> np.ndarray:
    """Soft coloured waves, two pixels a frame."""
    t, y, x = np.mgrid[0:count, 0:height, 0:width] / 12
    waves = np.stack([np.sin(x + 2 * t), np.cos(y - x + 2 * t), np.sin(x + y)], 3)
    return 0.5 + 0.4 * waves


def test_what_is_a_clip(tmp_path: Path) -> None:
    assert is_clip(tmp_path)
    assert is_clip(Path("holiday.MP4"))
    assert not is_clip(Path("holiday.png"))


def test_a_folder_is_read_in_natural_order(tmp_path: Path) -> None:
    clip = pan(11, 16)
    folder = save_frames(tmp_path / "in", clip)
    (folder / "notes.txt").write_text("no frame")
    (folder / ".hidden.png").write_bytes(b"no frame")
    found = open_clip(folder)
    assert (found.width, found.height, found.count, found.rate) == (16, 16, 11, None)
    assert np.array_equal(pixels(found), np.float32(np.rint(clip * 255)) / np.float32(255))
    assert [frame.file for frame in found.samples(3)] == ["2.png", "6.png", "10.png"]


def test_frames_of_another_size_are_named(tmp_path: Path) -> None:
    folder = save_frames(tmp_path / "in", pan(2, 16))
    Image.new("RGB", (20, 16)).save(folder / "3.png")
    with pytest.raises(InputError, match=r"3\.png is 20×16 pixels, but 1\.png is 16×16"):
        pixels(open_clip(folder))


def test_two_files_for_one_frame_are_refused(tmp_path: Path) -> None:
    folder = save_frames(tmp_path / "in", pan(2, 16))
    Image.new("RGB", (16, 16)).save(folder / "2.jpg")
    with pytest.raises(InputError, match="the same frame"):
        open_clip(folder)


def test_a_folder_without_pictures_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no pictures"):
        open_clip(tmp_path)


@pytest.mark.parametrize(("total", "count"), [(1, 5), (5, 5), (100, 5), (0, 3)])
def test_samples_are_spread_evenly(total: int, count: int) -> None:
    places = spread(total, count)
    assert len(places) == len(set(places)) == min(total, count)
    assert all(0 <= place < total for place in places)


def test_a_video_keeps_rate_times_and_sound(tmp_path: Path) -> None:
    clip = smooth()
    source = save_video(tmp_path / "a.mp4", clip, rate=Fraction(30000, 1001), sound="aac")
    assert copy(source, tmp_path / "b.mp4") == []
    before, after = open_clip(source), open_clip(tmp_path / "b.mp4")
    assert after.count == before.count == 5
    assert after.rate == before.rate == Fraction(30000, 1001)
    assert load_video(tmp_path / "b.mp4")[1] == load_video(source)[1]
    assert packets(tmp_path / "b.mp4", "audio") == packets(source, "audio")
    assert len(packets(source, "audio")) > 3
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.mp4", "b.mp4"]


@pytest.mark.parametrize(
    ("source", "target", "codec", "kept"),
    [
        (".mkv", ".mp4", "aac", True),
        (".mp4", ".mkv", "aac", True),
        (".mkv", ".webm", "libopus", True),
        (".mp4", ".webm", "aac", False),  # WebM has no AAC
        (".mkv", ".mov", "libopus", False),  # the writer finds out only when it begins
    ],
)
def test_sound_goes_along_where_the_format_allows(
    tmp_path: Path, source: str, target: str, codec: str, kept: bool
) -> None:
    first, second = tmp_path / f"a{source}", tmp_path / f"b{target}"
    save_video(first, smooth(), sound=codec)
    warnings = copy(first, second)
    if kept:
        assert warnings == []
        assert packets(second, "audio") == packets(first, "audio")
    else:
        assert "sound" in warnings[0]
        with av.open(str(second)) as file:
            assert not file.streams.audio
    assert open_clip(second).count == 5


def test_uneven_times_are_kept(tmp_path: Path) -> None:
    times = [0, 40, 120, 150, 400]
    save_video(tmp_path / "a.mkv", smooth(), times=times)
    copy(tmp_path / "a.mkv", tmp_path / "b.mp4")
    assert [1000 * time for time in load_video(tmp_path / "b.mp4")[1]] == times


@pytest.mark.parametrize("target", [".mp4", ".mkv", ".webm", ".avi", ".mov"])
def test_colours_do_not_shift(tmp_path: Path, target: str) -> None:
    clip = smooth()
    source = save_video(tmp_path / "a.mp4", clip, **LOSSY)
    read = pixels(open_clip(source))
    copy(source, tmp_path / f"b{target}")
    again = pixels(open_clip(tmp_path / f"b{target}"))
    assert np.abs(again - read).mean() * 255 < 2
    assert np.abs((again - read).mean(axis=(0, 1, 2))).max() * 255 < 0.5
    if target != ".webm":  # of VP9, decoders do not agree on where the colour samples lie
        shown = [load_video(path)[0] for path in (source, tmp_path / f"b{target}")]
        assert np.abs(shown[1] - shown[0]).mean() * 255 < 2


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("matrix", [1, 6, 9])
def test_the_tags_of_colours_are_kept(tmp_path: Path, matrix: int, full: bool) -> None:
    colours = Colours(matrix, matrix, 1 if matrix == 9 else matrix, full)
    path = tmp_path / "a.mp4"
    with av.open(str(path), "w") as file:
        stream = file.add_stream("libx264", rate=25, options={"crf": "5"})
        stream.height, stream.width, stream.pix_fmt = 48, 64, "yuv420p"
        colours.tell(stream.codec_context)
        for _ in range(2):
            file.mux(stream.encode(av.VideoFrame(64, 48, "yuv420p")))
        file.mux(stream.encode(None))
    copy(path, tmp_path / "b.mp4")
    for name in ("a.mp4", "b.mp4"):
        clip = open_clip(tmp_path / name)
        assert getattr(clip, "colours") == colours  # noqa: B009


@pytest.mark.parametrize("bits", [8, 10])
@pytest.mark.parametrize("full", [False, True])
def test_colours_go_there_and_back(bits: int, full: bool) -> None:
    colours = Colours(full_range=full)
    rgb = smooth(1)[0].astype(np.float32)
    planes = np.rint(colours.from_rgb(rgb, bits))
    assert np.abs(colours.to_rgb(planes, bits) - rgb).max() < 2.0 ** (9 - bits) / 255
    white = colours.from_rgb(np.ones((1, 1, 1)), 8)
    assert white.ravel().tolist() == pytest.approx([255 if full else 235, 128, 128])


@pytest.mark.parametrize("size", [(8, 10), (7, 9), (1, 1), (2, 5)])
def test_colour_planes_are_halved_and_doubled(size: tuple[int, int]) -> None:
    rows, columns = np.mgrid[0 : size[0], 0 : size[1]]
    ramp = 3.0 * rows + 2 * columns
    half = halved(ramp)
    assert half.shape == ((size[0] + 1) // 2, (size[1] + 1) // 2)
    again = doubled(half, *size)
    assert again.shape == size
    assert np.abs(again - ramp)[1:-1, 1:-1].max(initial=0) < 0.76
    assert np.abs(again - ramp)[2:-2, 2:-2].max(initial=0) == 0


def test_ten_bits_stay_ten_bits(tmp_path: Path) -> None:
    source = tmp_path / "a.mkv"
    save_video(source, smooth(), codec="libx264", pixel_format="yuv420p10le")
    copy(source, tmp_path / "b.mkv")
    with av.open(str(tmp_path / "b.mkv")) as file:
        assert file.streams.video[0].pix_fmt == "yuv420p10le"
    copy(source, tmp_path / "frames")
    assert open_clip(tmp_path / "frames").samples(1)[0].picture.dtype == np.uint16
    difference = pixels(open_clip(tmp_path / "b.mkv")) - pixels(open_clip(tmp_path / "frames"))
    assert np.abs(difference).mean() * 255 < 2


def test_an_odd_size_stays_odd(tmp_path: Path) -> None:
    clip = smooth(5, 37, 51)
    save_frames(tmp_path / "in", clip)
    (warning, odd) = copy(tmp_path / "in", tmp_path / "b.mp4")
    assert "frame rate" in warning
    assert "51×37 is an odd size" in odd
    assert load_video(tmp_path / "b.mp4")[0].shape == (5, 37, 51, 3)
    assert len(copy(tmp_path / "in", tmp_path / "b.webm")) == 1
    assert np.abs(pixels(open_clip(tmp_path / "b.webm")) - clip).mean() * 255 < 2


def test_a_gray_video_has_one_channel(tmp_path: Path) -> None:
    gray = np.repeat(smooth()[:, :, :, :1], 3, axis=3)
    save_video(tmp_path / "a.mp4", gray, **LOSSY)
    assert pixels(open_clip(tmp_path / "a.mp4")).shape == (5, 48, 64, 1)
    copy(tmp_path / "a.mp4", tmp_path / "b.mp4")
    assert np.abs(load_video(tmp_path / "b.mp4")[0] - gray).mean() * 255 < 2


@pytest.mark.skipif(
    not hasattr(av.VideoStream, "set_display_rotation"), reason="this PyAV cannot turn a video"
)
@pytest.mark.parametrize("degrees", [90, 180, -90])
def test_a_turned_video_is_read_upright(tmp_path: Path, degrees: int) -> None:
    clip = smooth()
    save_video(tmp_path / "a.mp4", clip, rotation=degrees)
    found = open_clip(tmp_path / "a.mp4")
    upright = np.rot90(clip, degrees // 90 % 4, axes=(1, 2))
    assert (found.height, found.width) == upright.shape[1:3]
    assert np.abs(pixels(found) - upright).mean() * 255 < 1
    copy(tmp_path / "a.mp4", tmp_path / "b.mp4")
    assert np.abs(pixels(open_clip(tmp_path / "b.mp4")) - upright).mean() * 255 < 2


def test_a_folder_comes_from_a_video_and_a_video_from_a_folder(tmp_path: Path) -> None:
    clip = smooth()
    source = save_video(tmp_path / "a.mkv", clip, sound="flac")
    (warning,) = copy(source, tmp_path / "frames")
    assert "holds no sound" in warning
    names = sorted(path.name for path in (tmp_path / "frames").iterdir())
    assert names == [f"frame_{number:06}.png" for number in range(1, 6)]
    assert np.abs(load_frames(tmp_path / "frames") - clip).max() < 1 / 255
    copy(tmp_path / "frames", tmp_path / "b.mp4")
    assert np.abs(pixels(open_clip(tmp_path / "b.mp4")) - clip).mean() * 255 < 2


def test_frames_of_a_folder_are_replaced_and_other_files_are_not(tmp_path: Path) -> None:
    folder = save_frames(tmp_path / "in", smooth())
    out = tmp_path / "out"
    out.mkdir()
    (out / "1.png").write_bytes(b"old")
    (out / "mine.txt").write_text("keep")
    copy(folder, out)
    assert (out / "mine.txt").read_text() == "keep"
    assert len(list(out.iterdir())) == 6
    (out / "mine.txt").unlink()
    assert np.array_equal(load_frames(out), load_frames(folder))


@pytest.mark.skipif(sys.platform == "win32", reason="there it is the system that refuses")
def test_a_video_is_synced_where_only_what_may_be_written_can_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import fcntl

    def sync(handle: int) -> None:
        if fcntl.fcntl(handle, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))

    monkeypatch.setattr(os, "fsync", sync)  # as Windows does
    copy(save_frames(tmp_path / "in", smooth()), tmp_path / "b.mp4")
    assert len(load_video(tmp_path / "b.mp4")[0]) == 5


@pytest.mark.parametrize("target", ["b.mp4", "out"])
def test_what_is_not_finished_is_not_there(tmp_path: Path, target: str) -> None:
    clip = open_clip(save_frames(tmp_path / "in", smooth()))
    with create_output(tmp_path / target, clip, (64, 48), partial=False, threads=1) as output:
        for frame in clip.frames():
            output.write(frame, frame.pixels, None)
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


@pytest.mark.parametrize("name", ["b.png", "b.gif", "missing/b.mp4", "missing/out", "file"])
def test_targets_that_cannot_be_are_told_before_the_work(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError):
        check_target(tmp_path / name)


def test_a_broken_or_empty_video_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "broken.mp4").write_bytes(b"\0\0\0\x18ftypmp42" + b"nonsense" * 50)
    (tmp_path / "empty.mp4").write_bytes(b"")
    for name in ("broken.mp4", "empty.mp4", "missing.mp4"):
        with pytest.raises(InputError, match=name) as caught:
            open_clip(tmp_path / name)
        assert caught.value.hint
        assert "\n" not in str(caught.value)


def test_sound_alone_is_no_clip(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "a.mp4"), "w") as file:
        stream = file.add_stream("aac", rate=48000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        frame.sample_rate = 48000
        file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
    with pytest.raises(InputError, match="no video in it"):
        open_clip(tmp_path / "a.mp4")


@pytest.mark.parametrize("damage", ["cut", "hole"])
def test_of_a_damaged_video_what_can_be_read_is_read(tmp_path: Path, damage: str) -> None:
    source = save_video(tmp_path / "a.mkv", pan(20))
    data = source.read_bytes()
    half = len(data) // 2
    rest = b"" if damage == "cut" else bytes(20_000) + data[half + 20_000 :]
    source.write_bytes(data[:half] + rest)
    assert 3 < len(list(open_clip(source).frames())) < 20


def test_packets_that_cannot_be_decoded_are_told(tmp_path: Path) -> None:
    source = save_video(tmp_path / "a.avi", pan(12), codec="png")
    data = bytearray(source.read_bytes())
    places = [place for place in range(len(data)) if data[place : place + 4] == b"IHDR"]
    for place in places[3:5]:
        data[place : place + 12] = bytes(12)
    source.write_bytes(bytes(data))
    clip = open_clip(source)
    assert len(list(clip.frames())) == 10
    assert "10 of its 12 frames" in clip.problems[0]


def test_without_pyav_a_video_tells_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = save_video(tmp_path / "a.mp4", smooth())
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(DipError, match="PyAV") as caught:
        open_clip(source)
    assert "deep-image-prior[video]" in caught.value.hint
    assert open_clip(save_frames(tmp_path / "in", smooth())).count == 5
