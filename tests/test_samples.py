"""The sample photos: real, noisy by the amount that was asked for, never in anybody's way."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dip_engine.errors import OutputError
from dip_engine.samples import SAMPLES, Sample, clean_sample, noisy_sample, write_samples


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.name)
def test_photo_is_whole_and_has_content(sample: Sample) -> None:
    photo = clean_sample(sample)
    assert photo.dtype == np.uint8
    assert photo.shape[:2] == (256, 320)
    assert photo.std() > 30


@pytest.mark.parametrize("sigma", [5.0, 25.0])
def test_noise_has_the_level_asked_for(sigma: float) -> None:
    for sample in SAMPLES:
        clean, noisy = clean_sample(sample).astype(float), noisy_sample(sample, sigma).astype(float)
        inside = (clean > 4 * sigma) & (clean < 255 - 4 * sigma)  # nothing is clipped there
        noise = (noisy - clean)[inside]
        assert noise.std() == pytest.approx(sigma, rel=0.03)
        assert noise.mean() == pytest.approx(0, abs=sigma / 20)


def test_files_are_the_same_every_time(tmp_path: Path) -> None:
    first, second = write_samples(tmp_path / "a"), write_samples(tmp_path / "b")
    assert [file.name for file in first] == [f"{sample.name}.png" for sample in SAMPLES]
    for one, other in zip(first, second, strict=True):
        assert one.read_bytes() == other.read_bytes()
        with Image.open(one) as picture:
            assert picture.format == "PNG"
            assert picture.size == (320, 256)


def test_what_is_there_is_left_alone(tmp_path: Path) -> None:
    mine = tmp_path / "cat.png"
    mine.write_text("mine")
    written = write_samples(tmp_path)
    assert mine.read_text() == "mine"
    assert written[mine] is False
    assert sum(written.values()) == len(SAMPLES) - 1
    assert not any(write_samples(tmp_path).values())


def test_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "photos").write_text("a file")
    with pytest.raises(OutputError, match="photos"):
        write_samples(tmp_path / "photos")
