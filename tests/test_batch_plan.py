"""Which pictures are found and where their results go."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from dip_batch.names import natural_key, printable, shorten, span
from dip_batch.plan import Item, Plan, Request, make_plan
from dip_engine.errors import InputError, MaskError


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    for name in ("img10.png", "img2.png", "trip/cat.jpg", "trip/deep/dog.TIF"):
        make(folder / name)
    return folder


def make(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"picture")
    return path


def names(plan: Plan) -> list[str]:
    return [item.name for item in plan.items]


def outputs(plan: Plan, base: Path) -> list[str]:
    return [item.output.relative_to(base).as_posix() for item in plan.items]


def only(plan: Plan) -> Item:
    (item,) = plan.items
    return item


def test_a_folder_is_mirrored_beside_itself_in_natural_order(photos: Path) -> None:
    plan = make_plan(Request((photos,)))
    expected = ["img2.png", "img10.png", "trip/cat.jpg", "trip/deep/dog.TIF"]
    assert names(plan) == expected
    root = photos.with_name("photos-restored")
    assert outputs(plan, root) == expected
    assert plan.roots == (root,)
    assert {item.root for item in plan.items} == {root}


def test_videos_are_restored_like_pictures(photos: Path) -> None:
    for name in ("b.mp4", "trip/C.MPG", "small.gif", "code.ts"):
        make(photos / name)
    plan = make_plan(Request((photos,), file_format="webp"))
    root = photos.with_name("photos-restored")
    assert [name for name in outputs(plan, root) if not name.endswith(".webp")] == [
        "b.mp4",
        "trip/C.mp4",
    ]
    assert only(make_plan(Request((photos / "b.mp4",)))).output == photos / "b-restored.mp4"
    out = photos / "c.mkv"
    assert only(make_plan(Request((photos / "b.mp4",), out))).output == out


@pytest.mark.parametrize("why", ["task", "library"])
def test_videos_that_cannot_be_restored_are_left_out_with_a_note(
    photos: Path, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(photos / "b.mp4")
    if why == "library":
        monkeypatch.setattr("dip_batch.walk.find_spec", lambda _: None)
    plan = make_plan(Request((photos,), task="jpeg" if why == "task" else "denoise"))
    assert len(plan.items) == 4
    (note,) = plan.notes
    assert "b.mp4 is left out" in note
    assert ("jpeg works on pictures only" if why == "task" else "PyAV") in note


def test_the_mask_of_a_video_may_be_a_video(tmp_path: Path) -> None:
    folder, masks = tmp_path / "in", tmp_path / "masks"
    for name in ("a.mp4", "b.png", "c.mkv"):
        make(folder / name)
    for name in ("a.mp4", "b.mp4", "b.png", "c_mask.png"):
        make(masks / name)
    plan = make_plan(Request((folder,), task="inpaint", mask_dir=masks))
    found = [item.mask.name for item in plan.items if item.mask is not None]
    assert found == ["a.mp4", "b.png", "c_mask.png"]


def test_hidden_linked_and_other_files_are_skipped(photos: Path, tmp_path: Path) -> None:
    make(photos / ".hidden.png")
    make(photos / ".thumbnails" / "small.png")
    make(photos / "notes.txt")
    make(tmp_path / "elsewhere" / "far.png")
    (photos / "link").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    (photos / "broken.png").symlink_to(tmp_path / "nothing.png")
    (photos / "folder.png").mkdir()
    (photos / "linked_file.png").symlink_to(tmp_path / "elsewhere" / "far.png")
    assert names(make_plan(Request((photos,)))) == [
        "img2.png",
        "img10.png",
        "linked_file.png",
        "trip/cat.jpg",
        "trip/deep/dog.TIF",
    ]


def test_the_current_folder_has_a_name(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(photos)
    plan = make_plan(Request((Path(),)))
    assert plan.roots == (photos.with_name("photos-restored"),)


def test_a_file_goes_beside_itself_without_a_folder_of_results(photos: Path) -> None:
    item = only(make_plan(Request((photos / "trip" / "cat.jpg",))))
    assert item.output == photos / "trip" / "cat-restored.jpg"
    assert item.root is None


def test_o_may_name_the_file_of_a_single_picture(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "new" / "out.webp"
    item = only(make_plan(Request((photos / "img2.png",), out)))
    assert (item.output, item.root) == (out, None)


def test_o_names_a_folder_otherwise(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    item = only(make_plan(Request((photos / "img2.png",), out)))
    assert (item.output, item.root) == (out / "img2.png", out)
    assert outputs(make_plan(Request((photos,), out)), out)[0] == "img2.png"
    with pytest.raises(InputError, match=r"out\.png cannot be the folder"):
        make_plan(Request((photos,), tmp_path / "out.png"))
    with pytest.raises(InputError, match="cannot be the folder"):
        make_plan(Request((photos,), make(tmp_path / "file")))


def test_several_folders_are_kept_apart_below_o(photos: Path, tmp_path: Path) -> None:
    make(tmp_path / "more" / "img2.png")
    out = tmp_path / "out"
    plan = make_plan(Request((tmp_path / "more", photos), out))
    assert outputs(plan, out)[:2] == ["more/img2.png", "photos/img2.png"]
    assert plan.roots == (out,)


def test_an_input_named_twice_is_done_once(photos: Path) -> None:
    twice = make_plan(Request((photos, photos / "trip" / "..")))
    assert len(twice.items) == 4


def test_never_in_place(photos: Path, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(photos, target_is_directory=True)
    for out in (photos, link, photos / "trip" / ".."):
        with pytest.raises(InputError, match="both input and output"):
            make_plan(Request((photos,), out))
    for out in (photos, photos / "img2.png"):
        with pytest.raises(InputError, match="would replace a picture"):
            make_plan(Request((photos / "img2.png",), out))
    make(tmp_path / "photos-restored" / "old.png")
    with pytest.raises(InputError, match="both input and output"):
        make_plan(Request((photos, tmp_path / "photos-restored")))


def test_an_output_folder_inside_the_input_is_not_walked(photos: Path) -> None:
    out = photos / "out"
    make(out / "old.png")
    plan = make_plan(Request((photos,), out))
    assert len(plan.items) == 4
    assert "out/old.png" not in names(plan)


def test_results_of_an_earlier_run_are_left_out_with_a_note(photos: Path) -> None:
    make(photos / "trip-restored" / "cat.png")
    (photos / "trip-restored" / ".dip-batch").mkdir()
    plan = make_plan(Request((photos,)))
    assert len(plan.items) == 4
    (note,) = plan.notes
    assert "trip-restored is left out" in note
    assert names(make_plan(Request((photos / "trip-restored",)))) == ["cat.png"]


def test_own_results_among_globbed_files_are_left_out(tmp_path: Path) -> None:
    files = [make(tmp_path / name) for name in ("a.png", "a-restored.png", "b.png", "readme.txt")]
    plan = make_plan(Request(tuple(files)))
    assert names(plan) == ["a.png", "b.png"]
    assert len(plan.notes) == 2


@pytest.mark.parametrize(
    ("first", "second", "file_format"),
    [
        ("a.jpg", "a.png", "png"),
        ("A.png", "a.PNG", "same"),
        ("caf\u00e9.png", "cafe\u0301.png", "same"),
        ("Trip/a.png", "trip/a.png", "same"),
    ],
)
def test_collisions_name_both_pictures(
    tmp_path: Path, first: str, second: str, file_format: str
) -> None:
    if sys.platform == "darwin" and file_format == "same":
        return  # the disk itself does not let both exist
    make(tmp_path / "in" / first)
    make(tmp_path / "in" / second)
    with pytest.raises(InputError) as caught:
        make_plan(Request((tmp_path / "in",), file_format=file_format))
    assert first in str(caught.value)
    assert second in str(caught.value)


def test_include_and_exclude_fit_names_and_paths_whatever_the_case(photos: Path) -> None:
    def found(include: tuple[str, ...] = (), exclude: tuple[str, ...] = ()) -> list[str]:
        return names(make_plan(Request((photos,), include=include, exclude=exclude)))

    assert found(include=("*.tif",)) == ["trip/deep/dog.TIF"]
    assert found(include=("trip/*", "img2*")) == ["img2.png", "trip/cat.jpg", "trip/deep/dog.TIF"]
    assert found(exclude=("trip/*", "IMG10.*")) == ["img2.png"]
    assert found(include=("*.png",), exclude=("img2*",)) == ["img10.png"]


def test_nothing_found_says_what_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        make_plan(Request((tmp_path,), include=("*.png",)))
    assert ".png" in caught.value.hint
    assert "--include" in caught.value.hint


@pytest.mark.parametrize(
    ("name", "file_format", "task", "expected"),
    [
        ("a.JPG", "same", "denoise", "a.JPG"),
        ("a.JPG", "same", "inpaint", "a.png"),
        ("a.JPG", "jpeg", "inpaint", "a.JPG"),
        ("a.jpeg", "jpeg", "denoise", "a.jpeg"),
        ("a.png", "jpeg", "denoise", "a.jpg"),
        ("a.b.tif", "png", "denoise", "a.b.png"),
        ("a.tif", "tiff", "denoise", "a.tif"),
        ("a.png", "tiff", "denoise", "a.tif"),
        ("a.png", "webp", "denoise", "a.webp"),
    ],
)
def test_the_format_decides_on_the_suffix(
    tmp_path: Path, name: str, file_format: str, task: str, expected: str
) -> None:
    make(tmp_path / "in" / name)
    plan = make_plan(Request((tmp_path / "in",), task=task, file_format=file_format))
    assert only(plan).output.name == expected


@pytest.mark.parametrize("partial", [{"mask_dir": "masks"}, {"mask": "one"}, {"by_color": True}])
def test_jpeg_that_is_restored_in_part_becomes_a_png(
    photos: Path, partial: dict[str, object]
) -> None:
    make(photos / "a.jpg")
    names = {
        "masks": make(photos.parent / "masks" / "a.png").parent,
        "one": make(photos.parent / "m.png"),
    }
    request = Request((photos / "a.jpg",), **{k: names.get(str(v), v) for k, v in partial.items()})
    assert only(make_plan(request)).output.name == "a-restored.png"


def test_masks_are_found_by_relative_path(photos: Path, tmp_path: Path) -> None:
    masks = tmp_path / "masks"
    exact = make(masks / "img2.png")
    make(masks / "img2.tif")
    stem = make(masks / "trip" / "cat.png")
    named = make(masks / "trip" / "deep" / "dog_mask.webp")
    plan = make_plan(Request((photos,), task="inpaint", mask_dir=masks))
    found = {item.name: item.mask for item in plan.items}
    assert found == {
        "img2.png": exact,
        "img10.png": None,
        "trip/cat.jpg": stem,
        "trip/deep/dog.TIF": named,
    }
    problems = {item.name: item.problem for item in plan.items if item.problem is not None}
    assert list(problems) == ["img10.png"]
    assert isinstance(problems["img10.png"], MaskError)
    assert "img10.png" in problems["img10.png"].sentence
    assert "img10_mask.png" in problems["img10.png"].hint


def test_second_pictures_are_found_by_the_ending_of_their_task(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    make(folder / "room.jpg")
    make(folder / "hall.jpg")
    flash = make(folder / "room_flash.png")
    make(folder / "other_hints.png")
    plan = make_plan(Request((folder,), task="flash", guide_dir=folder))
    found = {item.name: item.guide for item in plan.items}
    assert found == {"hall.jpg": None, "other_hints.png": None, "room.jpg": flash}
    problem = next(item.problem for item in plan.items if item.name == "hall.jpg")
    assert problem is not None
    assert "picture with flash" in problem.sentence
    assert "hall_flash.png" in problem.hint


def test_masks_among_the_pictures_are_no_pictures(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    make(folder / "a.jpg")
    mask = make(folder / "a_mask.png")
    item = only(make_plan(Request((folder,), task="inpaint", mask_dir=folder)))
    assert (item.name, item.mask) == ("a.jpg", mask)
    single = only(make_plan(Request((folder / "a.jpg",), task="inpaint", mask_dir=folder)))
    assert single.mask == mask


def test_a_folder_of_masks_inside_the_input_is_not_walked(photos: Path) -> None:
    make(photos / "masks" / "img2.png")
    plan = make_plan(Request((photos,), task="inpaint", mask_dir=photos / "masks"))
    assert "masks/img2.png" not in names(plan)
    assert plan.items[0].mask == photos / "masks" / "img2.png"


def test_one_mask_for_all_is_no_picture(photos: Path) -> None:
    mask = make(photos / "mask.png")
    plan = make_plan(Request((photos,), task="inpaint", mask=mask))
    assert "mask.png" not in names(plan)
    assert {item.mask for item in plan.items} == {mask}


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse such names")
def test_names_that_are_not_utf_8_are_planned_and_printable(tmp_path: Path) -> None:
    make(tmp_path / "in" / os.fsdecode(b"b\xff\x1b[31m.png"))
    item = only(make_plan(Request((tmp_path / "in",))))
    assert item.input.exists()
    assert item.name == "b\ufffd\ufffd[31m.png"


def test_names_are_shortened_in_the_middle() -> None:
    assert shorten("a_long_name_0001.png", 12) == "a_long…1.png"
    assert shorten("short.png", 12) == "short.png"


def test_durations_are_said_in_words() -> None:
    spans = [span(s) for s in (0.84, 41.2, 99.4, 300, 3599, 7800, 273_600)]
    assert spans == ["0.8 s", "41 s", "99 s", "5 min", "1 h 0 min", "2 h 10 min", "3 d 4 h"]


@given(st.text(), st.integers(5, 60))
def test_shortened_names_fit(text: str, width: int) -> None:
    text = printable(text)
    short = shorten(text, width)
    assert cell_len(short) <= width
    assert short == text or "…" in short
    printable(short).encode("utf-8")


@given(st.data(), st.lists(st.text(min_size=1).filter(lambda t: "/" not in t and "\0" not in t)))
def test_natural_order_does_not_depend_on_the_order_found(
    data: st.DataObject, texts: list[str]
) -> None:
    paths = [Path(text) for text in texts]
    shuffled = data.draw(st.permutations(paths))
    assert sorted(paths, key=natural_key) == sorted(shuffled, key=natural_key)
