"""Pictures come back as they were: samples, metadata, and a clear sentence for what is none."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import resource
import stat
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFile, PngImagePlugin

from dip_engine.errors import InputError, OutputError
from dip_engine.metadata import Directory, Entry, Metadata, replace_directory
from dip_engine.picture import (
    SUFFIXES,
    Picture,
    estimate_size,
    read,
    write,
)
from dip_engine.temporary import TEMPORARY_SUFFIX

ICC_RGB = b"\0" * 16 + b"RGB " + bytes(range(200))
ICC_GRAY = b"\0" * 16 + b"GRAY" + bytes(range(200))
DTYPES = {"uint8": np.uint8, "uint16": np.uint16, "float32": np.float32}


@pytest.fixture(autouse=True)
def _nothing_on_stderr(capfd: pytest.CaptureFixture[str]):
    yield
    assert capfd.readouterr().err == ""


def random_samples(rng, height, width, channels, dtype):
    if dtype == np.float32:
        samples = rng.normal(0.5, 1, (height, width, channels)).astype(np.float32)
    else:
        top = np.iinfo(dtype).max
        samples = rng.integers(0, top, (height, width, channels), dtype, endpoint=True)
    if channels in (2, 4):
        samples[rng.random((height, width)) < 0.5, -1] = 0  # colours hide under alpha 0
    return samples


def picture_of(samples, metadata=None, kind="PNG"):
    """Build a Picture from samples, without any file."""
    channels = 3 if samples.shape[2] > 2 else 1
    scale = 1 if samples.dtype == np.float32 else np.iinfo(samples.dtype).max
    pixels = samples[:, :, :channels].astype(np.float32) / np.float32(scale)
    alpha = samples[:, :, channels] if samples.shape[2] > channels else None
    return Picture(pixels, alpha, samples.dtype, kind, metadata or Metadata(), None)


def integers_of(picture):
    if picture.dtype == np.float32:
        samples = picture.pixels
    else:
        samples = np.rint(picture.pixels.astype(float) * np.iinfo(picture.dtype).max)
    samples = samples.astype(picture.dtype)
    if picture.alpha is None:
        return samples
    return np.concatenate((samples, picture.alpha[:, :, None]), axis=2)


def rewrite(path: Path, to: Path) -> Picture:
    """Read, write unchanged, read again."""
    picture = read(path)
    write(to, picture.pixels, picture, alpha=picture.alpha)
    return read(to)


def fails_to_read(path: Path, *words: str, **options) -> InputError:
    with pytest.raises(InputError) as caught:
        read(path, **options)
    sentence = caught.value.sentence
    assert path.name in sentence
    assert sentence.endswith(".")
    assert "\n" not in sentence
    assert caught.value.hint
    for word in words:
        assert word in sentence
    return caught.value


def photo(size=(40, 30), mode="RGB"):
    rng = np.random.default_rng(3)
    small = rng.integers(0, 256, (5, 6, 3), dtype=np.uint8)
    return Image.fromarray(small).resize(size, Image.Resampling.BICUBIC).convert(mode)


def exif_bytes():
    exif = Image.Exif()
    exif[0x0112] = 6
    exif[0x010F] = "Camera maker"
    exif[0x8298] = "Somebody"
    exif.get_ifd(0x8769)[0x829A] = 0.01
    exif.get_ifd(0x8769)[0x927C] = b"maker note \0\1\2"
    exif.get_ifd(0x8825)[1] = "N"
    return exif.tobytes()


def exif_facts(data: bytes) -> dict[str, object]:
    exif = Image.Exif()
    exif.load(data)
    camera = exif.get_ifd(0x8769)
    return {
        "orientation": exif[0x0112],
        "maker": exif[0x010F],
        "copyright": exif[0x8298],
        "exposure": float(camera[0x829A]),
        "note": camera[0x927C],
        "north": exif.get_ifd(0x8825)[1],
    }


@settings(
    max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    kind=st.sampled_from(
        [("png", "uint8"), ("png", "uint16"), ("webp", "uint8")]
        + [(suffix, dtype) for suffix in ("tif", "npy") for dtype in DTYPES]
    ),
    channels=st.integers(1, 4),
    size=st.tuples(st.integers(1, 33), st.integers(1, 33)),
    associated=st.booleans(),
    seed=st.integers(0, 2**32 - 1),
)
def test_lossless_formats_return_the_same_samples(tmp_path, kind, channels, size, associated, seed):
    suffix, dtype = kind
    samples = random_samples(np.random.default_rng(seed), *size, channels, DTYPES[dtype])
    metadata = Metadata(associated_alpha=associated and suffix == "tif" and channels in (2, 4))
    picture = picture_of(samples, metadata, suffix.upper())
    path = tmp_path / f"a.{suffix}"
    write(path, picture.pixels, picture, alpha=picture.alpha)
    back = read(path)
    if suffix == "webp" and channels < 3:  # WebP has no gray
        samples = np.concatenate((samples[:, :, :1].repeat(2, axis=2), samples), axis=2)
    np.testing.assert_array_equal(integers_of(back), samples)
    assert back.dtype == samples.dtype
    assert back.metadata.associated_alpha == metadata.associated_alpha
    assert (back.width, back.height) == estimate_size(path) == (size[1], size[0])
    assert back.pixels.dtype == np.float32
    again = rewrite(path, tmp_path / f"b.{suffix}")
    np.testing.assert_array_equal(integers_of(again), samples)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA"])
@pytest.mark.parametrize("suffix", ["png", "tif", "webp"])
def test_every_8_bit_mode_reads_as_pillow_sees_it(tmp_path, mode, suffix):
    image = photo(mode="RGB").quantize(37) if mode == "P" else photo(mode=mode)
    if "A" in mode:
        image.putalpha(photo(mode="L").point(lambda v: v if v > 120 else 0))
    if suffix == "webp" and mode in ("1", "L", "LA", "P"):
        image = image.convert("RGBA" if mode == "LA" else "RGB")
    path = tmp_path / f"a.{suffix}"
    image.save(path, **({"lossless": True, "exact": True} if suffix == "webp" else {}))
    shown = image.convert({"1": "L", "P": "RGB"}.get(image.mode, image.mode))
    expected = np.asarray(shown).reshape(30, 40, -1)
    np.testing.assert_array_equal(integers_of(read(path)), expected)
    np.testing.assert_array_equal(integers_of(rewrite(path, tmp_path / f"b.{suffix}")), expected)


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_palette_transparency_becomes_alpha(tmp_path, bits):
    image = photo().quantize(2**bits)
    image.save(tmp_path / "a.png", bits=bits, transparency=1)
    picture = read(tmp_path / "a.png")
    expected = np.asarray(Image.open(tmp_path / "a.png").convert("RGBA"))
    assert 0 < (expected[..., 3] == 0).sum() < expected[..., 3].size
    np.testing.assert_array_equal(integers_of(picture), expected)


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_a_transparent_colour_becomes_alpha(tmp_path, mode):
    image = photo(mode=mode)
    image.save(tmp_path / "a.png", transparency=image.getpixel((3, 4)))
    expected = np.asarray(Image.open(tmp_path / "a.png").convert("LA" if mode == "L" else "RGBA"))
    np.testing.assert_array_equal(integers_of(read(tmp_path / "a.png")), expected)
    assert (expected[..., -1] == 0).any()


def png(width, height, depth, colour, rows, *chunks, interlace=0):
    """Assemble a PNG file by hand."""
    parts = [(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlace))]
    parts += [*chunks, (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        for name, body in parts
    )


@pytest.mark.parametrize(("bits", "row"), [(2, 0b00011011), (4, 0x07)])
def test_gray_of_few_bits_is_scaled_to_the_full_range(tmp_path, bits, row):
    (tmp_path / "a.png").write_bytes(png(8 // bits, 1, bits, 0, bytes((0, row))))
    expected = [0, 85, 170, 255] if bits == 2 else [0, 119]
    np.testing.assert_array_equal(integers_of(read(tmp_path / "a.png"))[0, :, 0], expected)


def test_an_interlaced_png_is_read(tmp_path):
    # One pixel is the first pass of Adam7 alone.
    data = png(1, 1, 8, 2, bytes((0, 9, 8, 7)), interlace=1)
    (tmp_path / "a.png").write_bytes(data)
    np.testing.assert_array_equal(integers_of(read(tmp_path / "a.png")), [[[9, 8, 7]]])


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32", "float16", "float64"])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("layout", ["strips", "tiles", "planes", "big endian", "BigTIFF"])
def test_tiff_of_another_writer(tmp_path, dtype, channels, layout):
    rng = np.random.default_rng(channels)
    base = np.float32 if dtype.startswith("float") else np.dtype(dtype).type
    samples = random_samples(rng, 20, 17, channels, base).astype(dtype)
    extra = ["unassalpha"] if channels in (2, 4) else None
    planes = layout == "planes" and channels > 1
    tifffile.imwrite(
        tmp_path / "a.tif",
        np.moveaxis(samples, 2, 0) if planes else samples.squeeze() if channels == 1 else samples,
        photometric="rgb" if channels > 2 else "minisblack",
        planarconfig=None if channels == 1 else "separate" if planes else "contig",
        extrasamples=extra,
        byteorder=">" if layout == "big endian" else "<",
        bigtiff=layout == "BigTIFF",
        tile=(16, 16) if layout == "tiles" else None,
        compression=None if dtype == "float16" else "zlib",
        resolution=(300, 300),
        resolutionunit="INCH",
        metadata=None,
    )
    expected = samples.astype(np.float32) if base is np.float32 else samples
    if dtype == "float64" and layout == "tiles":
        fails_to_read(tmp_path / "a.tif", "64-bit")
        return
    picture = rewrite(tmp_path / "a.tif", tmp_path / "b.tif")
    np.testing.assert_array_equal(integers_of(read(tmp_path / "a.tif")), expected)
    np.testing.assert_array_equal(integers_of(picture), expected)
    assert picture.metadata.dpi == (300, 300)
    by_another = tifffile.imread(tmp_path / "b.tif")
    np.testing.assert_array_equal(by_another.reshape(expected.shape), expected)
    with tifffile.TiffFile(tmp_path / "b.tif") as file:
        assert [int(e) for e in file.pages[0].extrasamples] == ([2] if extra else [])


def test_16_bit_png_is_what_another_reader_sees(tmp_path):
    samples = random_samples(np.random.default_rng(0), 9, 7, 1, np.uint16)
    write(tmp_path / "a.png", picture_of(samples).pixels, picture_of(samples))
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "a.png")), samples[:, :, 0])


@pytest.mark.parametrize("suffix", ["jpg", "tif"])
def test_cmyk_becomes_rgb_without_the_cmyk_profile(tmp_path, suffix):
    image = photo().convert("CMYK")
    image.save(tmp_path / f"a.{suffix}", icc_profile=b"\0" * 16 + b"CMYK" + bytes(100))
    expected = np.asarray(Image.open(tmp_path / f"a.{suffix}").convert("RGB"))
    picture = read(tmp_path / f"a.{suffix}")
    np.testing.assert_array_equal(integers_of(picture), expected)
    assert picture.metadata.icc_profile is None


@pytest.mark.parametrize("bits", [1, 4, 8])
@pytest.mark.parametrize("step", [256, 257])
def test_tiff_palettes(tmp_path, bits, step):
    rng = np.random.default_rng(0)
    colors = rng.integers(0, 256, (3, 2**bits))
    indices = rng.integers(0, 2**bits, (9, 16), np.uint8)
    image = Image.fromarray(indices)
    image.putpalette(colors.T.astype(np.uint8).tobytes())
    bands = tuple(int(value) * step for value in colors.ravel())
    if bits == 8:
        exif = {0x0112: 6, 320: bands}
        image.save(tmp_path / "a.tif", tiffinfo=exif, compression="tiff_lzw")
    else:
        packed = np.packbits(np.unpackbits(indices[..., None], axis=2)[:, :, -bits:].reshape(9, -1))
        entries = {
            256: Entry(3, 1, struct.pack("<H", 16)),
            257: Entry(3, 1, struct.pack("<H", 9)),
            258: Entry(3, 1, struct.pack("<H", bits)),
            259: Entry(3, 1, struct.pack("<H", 1)),
            262: Entry(3, 1, struct.pack("<H", 3)),
            273: Entry(4, 1, struct.pack("<I", 8)),
            277: Entry(3, 1, struct.pack("<H", 1)),
            278: Entry(3, 1, struct.pack("<H", 9)),
            279: Entry(4, 1, struct.pack("<I", packed.size)),
            320: Entry(3, len(bands), struct.pack(f"<{len(bands)}H", *bands)),
        }
        data = replace_directory(bytes(8) + packed.tobytes(), Directory(entries))
        (tmp_path / "a.tif").write_bytes(data)
    expected = colors.T[indices]
    np.testing.assert_array_equal(integers_of(read(tmp_path / "a.tif")), expected)


def test_tiff_with_jpeg_inside(tmp_path):
    photo().save(tmp_path / "a.tif", compression="jpeg")
    expected = np.asarray(Image.open(tmp_path / "a.tif").convert("RGB"))
    np.testing.assert_array_equal(integers_of(read(tmp_path / "a.tif")), expected)


@pytest.mark.parametrize("quality", [10, 30, 50, 75, 95, 100])
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_jpeg_quality_is_estimated(tmp_path, quality, mode):
    photo(mode=mode).save(tmp_path / "a.jpg", quality=quality)
    assert read(tmp_path / "a.jpg").quality == quality
    photo(mode=mode).save(tmp_path / "a.png")
    assert read(tmp_path / "a.png").quality is None


@pytest.mark.parametrize("channels", [1, 3])
def test_jpeg_is_written_at_quality_95_without_subsampling(tmp_path, channels):
    picture = picture_of(np.asarray(photo()).reshape(30, 40, 3)[:, :, :channels])
    write(tmp_path / "a.JPG", picture.pixels, picture)
    assert read(tmp_path / "a.JPG").quality == 95
    with Image.open(tmp_path / "a.JPG") as image:
        assert {layer[1:3] for layer in image.layer} == {(1, 1)}
    assert np.abs(read(tmp_path / "a.JPG").pixels - picture.pixels).mean() < 0.02


@pytest.mark.parametrize("to", ["png", "jpg", "tif", "webp"])
@pytest.mark.parametrize("source", ["png", "png16", "jpg", "tif", "tif16", "tiffloat", "webp"])
@pytest.mark.parametrize("channels", [1, 3])
def test_metadata_is_kept_from_every_format_to_every_other(tmp_path, source, to, channels):
    icc = ICC_GRAY if channels == 1 else ICC_RGB
    image = photo(mode="L" if channels == 1 else "RGB")
    path = tmp_path / f"in.{source[:3]}"
    options = {"exif": exif_bytes(), "icc_profile": icc, "dpi": (300, 150)}
    if source in ("png16", "tif16", "tiffloat"):
        # From an 8-bit file, so that the metadata does not come from the writer under test alone.
        dtype = np.float32 if source == "tiffloat" else np.uint16
        image.save(tmp_path / f"8.{source[:3]}", **options)
        eight = read(tmp_path / f"8.{source[:3]}")
        like = Picture(eight.pixels, None, np.dtype(dtype), eight.format, eight.metadata, None)
        write(path, eight.pixels, like)
        assert read(path).dtype == dtype
    else:
        if source == "webp" and channels == 1:
            icc = options["icc_profile"] = ICC_RGB
        path = tmp_path / f"in.{source}"
        image.save(path, **options)
    original = exif_facts(exif_bytes())
    back = rewrite(path, tmp_path / f"out.{to}")
    assert exif_facts(back.metadata.exif) == original
    if to == "webp" and source != "webp" and channels == 1:
        icc = None  # a gray profile does not fit WebP, which is always RGB
    assert back.metadata.icc_profile == icc
    if source != "webp":
        assert back.metadata.dpi == pytest.approx((300, 150), abs=0.02)
    assert (back.width, back.height) == (40, 30)  # not rotated
    if to == "tif":
        with tifffile.TiffFile(tmp_path / "out.tif") as seen:
            tags = seen.pages[0].tags
            assert tags[0x0112].value == 6
            assert tags[34675].value == icc
            assert tags[0x8769].value["MakerNote"] == b"maker note \0\1\2"
    else:
        with Image.open(tmp_path / f"out.{to}") as seen:
            assert seen.getexif()[0x0112] == 6
            assert seen.info.get("icc_profile") == icc


def test_resolution_reaches_formats_that_keep_it_in_exif(tmp_path):
    photo().save(tmp_path / "a.png", dpi=(240, 240))
    assert rewrite(tmp_path / "a.png", tmp_path / "b.webp").metadata.dpi == pytest.approx(
        (240, 240), abs=0.02
    )


def test_png_keeps_text_gamma_and_xmp(tmp_path):
    text = PngImagePlugin.PngInfo()
    text.add_text("Title", "A picture")
    text.add_itxt("XML:com.adobe.xmp", "<x:xmpmeta/>", zip=True)
    text.add(b"gAMA", struct.pack(">I", 100000))
    photo().save(tmp_path / "a.png", pnginfo=text)
    picture = rewrite(tmp_path / "a.png", tmp_path / "b.png")
    assert picture.metadata.xmp == b"<x:xmpmeta/>"
    with Image.open(tmp_path / "b.png") as image:
        assert image.text["Title"] == "A picture"
        assert image.info["gamma"] == 1.0
        assert "srgb" not in image.info
    for suffix in ("jpg", "tif", "webp"):
        other = rewrite(tmp_path / "b.png", tmp_path / f"c.{suffix}")
        assert other.metadata.xmp == b"<x:xmpmeta/>"
    assert rewrite(tmp_path / "c.tif", tmp_path / "d.png").metadata.xmp == b"<x:xmpmeta/>"


def test_the_profile_is_left_out_where_it_no_longer_fits(tmp_path):
    photo(mode="L").save(tmp_path / "a.png", icc_profile=ICC_GRAY)
    gray = read(tmp_path / "a.png")
    for suffix in ("png", "tif", "jpg"):
        write(tmp_path / f"b.{suffix}", gray.pixels.repeat(3, axis=2), gray)
        assert read(tmp_path / f"b.{suffix}").metadata.icc_profile is None


def test_broken_exif_does_not_cost_the_picture(tmp_path):
    for suffix in ("png", "jpg", "webp"):
        photo().save(tmp_path / f"a.{suffix}", exif=b"Exif\0\0MM\0*\xff\xff\xff\xffgarbage")
        for to in ("png", "jpg", "tif", "webp"):
            assert rewrite(tmp_path / f"a.{suffix}", tmp_path / f"b.{to}").width == 40


def test_16_bit_becomes_8_bit_where_the_format_has_no_more(tmp_path):
    samples = np.array([[[0], [128], [129], [65535]]], np.uint16)
    picture = picture_of(samples)
    write(tmp_path / "a.webp", picture.pixels, picture)
    back = integers_of(read(tmp_path / "a.webp"))
    np.testing.assert_array_equal(back[0, :, 0], [0, 0, 1, 255])


def test_float_becomes_16_bit_png(tmp_path):
    samples = np.array([[[-1.0, 0.5], [0.25, 1.0], [7.0, 0.0]]], np.float32)
    picture = picture_of(samples)
    write(tmp_path / "a.png", picture.pixels, picture, alpha=picture.alpha)
    expected = [[[0, 32768], [16384, 65535], [65535, 0]]]
    np.testing.assert_array_equal(integers_of(read(tmp_path / "a.png")), expected)


def test_premultiplied_colours_are_divided_for_other_formats(tmp_path):
    samples = np.array([[[50, 100], [10, 0], [200, 255]]], np.uint8)
    picture = picture_of(samples, Metadata(associated_alpha=True))
    write(tmp_path / "a.png", picture.pixels, picture, alpha=picture.alpha)
    expected = [[[128, 100], [0, 0], [200, 255]]]
    np.testing.assert_array_equal(integers_of(read(tmp_path / "a.png")), expected)


def test_arrays(tmp_path):
    values = np.random.default_rng(0).random((6, 5, 4))
    np.save(tmp_path / "a.npy", np.asfortranarray(values[:, :, 0]))
    picture = read(tmp_path / "a.npy")
    np.testing.assert_array_equal(picture.pixels[:, :, 0], values[:, :, 0].astype(np.float32))
    assert (picture.format, picture.dtype, picture.channels) == ("NPY", np.float32, 1)
    np.save(tmp_path / "b.npy", values.astype(">f8"))
    np.testing.assert_array_equal(integers_of(read(tmp_path / "b.npy")), values.astype(np.float32))
    write(tmp_path / "c.npy", picture.pixels, picture)
    assert np.load(tmp_path / "c.npy").shape == (6, 5)
    photo().save(tmp_path / "d.png")
    rewrite(tmp_path / "d.png", tmp_path / "e.npy")
    stored = np.load(tmp_path / "e.npy")
    assert stored.dtype == np.float32
    np.testing.assert_array_equal(stored, read(tmp_path / "d.png").pixels)


@pytest.mark.parametrize(
    ("array", "word"),
    [
        (np.zeros((2, 2, 5)), "5 channels"),
        (np.zeros(4), "shape"),
        (np.zeros((2, 2), np.int32), "int32"),
        (np.zeros((2, 2), np.complex64), "complex64"),
        (np.zeros((0, 3)), "no pixels"),
        (np.array([[{}]], dtype=object), "damaged"),
    ],
)
def test_arrays_that_are_no_pictures(tmp_path, array, word):
    np.save(tmp_path / "a.npy", array)
    fails_to_read(tmp_path / "a.npy", word)


def test_content_not_suffix_decides(tmp_path):
    photo().save(tmp_path / "a.png")
    (tmp_path / "a.png").rename(tmp_path / "what? #1 ü.jpg")
    picture = read(tmp_path / "what? #1 ü.jpg")
    assert picture.format == "PNG"
    assert rewrite(tmp_path / "what? #1 ü.jpg", tmp_path / "b?x=1.tif").format == "TIFF"


def encoded(suffix, samples=None):
    samples = np.asarray(photo((64, 64))) if samples is None else samples
    file = io.BytesIO()
    options = {"lossless": True} if suffix == "webp" else {}
    formats = {"png": "PNG", "jpg": "JPEG", "tif": "TIFF", "webp": "WEBP"}
    if suffix == "tif":
        options["compression"] = "tiff_deflate"
    Image.fromarray(samples).save(file, formats[suffix], **options)
    return file.getvalue()


@pytest.mark.parametrize("suffix", ["png", "jpg", "tif", "webp", "npy"])
@pytest.mark.parametrize("share", [0.0, 0.02, 0.3, 0.7, 0.98])
def test_truncated_files(tmp_path, suffix, share):
    if suffix == "npy":
        file = io.BytesIO()
        np.save(file, np.asarray(photo()))
        data = file.getvalue()
    else:
        data = encoded(suffix)
    path = tmp_path / f"a.{suffix}"
    path.write_bytes(data[: max(16, int(len(data) * share))])
    fails_to_read(path, "damaged or incomplete")
    if share <= 0.02:
        with pytest.raises(InputError, match="damaged"):
            (path.write_bytes(data[:16]), estimate_size(path))


@pytest.mark.parametrize("dtype", [np.uint16, np.float32])
def test_truncated_deep_tiff(tmp_path, dtype):
    samples = random_samples(np.random.default_rng(0), 30, 30, 3, dtype)
    tifffile.imwrite(tmp_path / "a.tif", samples, photometric="rgb")
    data = (tmp_path / "a.tif").read_bytes()
    (tmp_path / "a.tif").write_bytes(data[:-900])
    fails_to_read(tmp_path / "a.tif", "damaged or incomplete")


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_corrupt_pixels(tmp_path, suffix):
    data = bytearray(encoded(suffix, np.random.default_rng(0).integers(0, 256, (64, 64, 3), "u1")))
    middle = len(data) // 2
    data[middle : middle + 50] = bytes(50)
    (tmp_path / "a").write_bytes(data)
    fails_to_read(tmp_path / "a", "damaged or incomplete")


def test_a_png_whose_pixels_are_wrong_despite_right_checksums(tmp_path):
    (tmp_path / "a.png").write_bytes(png(20, 20, 8, 0, bytes(100)))
    fails_to_read(tmp_path / "a.png", "damaged or incomplete")
    good = zlib.compress(bytes(21 * 20))
    bad = png(20, 20, 8, 0, b"", (b"IDAT", good[:-4] + b"oops"))
    (tmp_path / "a.png").write_bytes(bad)
    fails_to_read(tmp_path / "a.png", "damaged or incomplete")


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    suffix=st.sampled_from(["png", "jpg", "tif", "webp"]),
    edits=st.lists(st.tuples(st.floats(0, 1), st.binary(min_size=1, max_size=8)), max_size=4),
    keep=st.floats(0.1, 1),
)
def test_damage_of_any_kind_ends_in_a_picture_or_a_sentence(tmp_path, capfd, suffix, edits, keep):
    data = bytearray(encoded(suffix)[:])
    for place, noise in edits:
        start = int(place * (len(data) - 1))
        data[start : start + len(noise)] = noise
    path = tmp_path / f"a.{suffix}"
    path.write_bytes(data[: int(len(data) * keep)])
    with contextlib.suppress(InputError):  # anything else, a warning included, fails the test
        read(path, max_pixels=10_000)
    capfd.readouterr()


def test_files_that_are_no_pictures(tmp_path):
    (tmp_path / "text.png").write_text("This is a letter, and no picture at all.")
    fails_to_read(tmp_path / "text.png", "is not a picture")
    (tmp_path / "short.png").write_text("x")
    fails_to_read(tmp_path / "short.png", "is not a picture")
    (tmp_path / "zero.png").touch()
    fails_to_read(tmp_path / "zero.png", "empty")
    fails_to_read(tmp_path / "missing.png", "does not exist")
    (tmp_path / "folder.png").mkdir()
    fails_to_read(tmp_path / "folder.png", "folder")
    photo().save(tmp_path / "moving.gif")
    fails_to_read(tmp_path / "moving.gif", "GIF")
    os.mkfifo(tmp_path / "pipe.png")
    fails_to_read(tmp_path / "pipe.png", "not a file")
    for name in ("text.png", "zero.png", "missing.png", "folder.png", "moving.gif", "pipe.png"):
        with pytest.raises(InputError, match=name):
            estimate_size(tmp_path / name)


def test_no_permission(tmp_path, monkeypatch):
    photo().save(tmp_path / "a.png")

    def refuse(self, *arguments, **options):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(Path, "open", refuse)
    fails_to_read(tmp_path / "a.png", "may not be read")


def bomb(suffix, side):
    if suffix == "png":
        return png(side, side, 8, 0, b"")
    data = bytearray(encoded(suffix))
    if suffix == "jpg":
        at = data.index(b"\xff\xc0") + 5
        data[at : at + 4] = struct.pack(">HH", side, side)
    elif suffix == "tif":
        for tag in (256, 257):
            at = data.index(struct.pack("<H", tag), 4)
            data[at : at + 12] = struct.pack("<HHII", tag, 4, 1, side)
    else:
        data[21:25] = struct.pack("<I", (side - 1) | (side - 1) << 14)
    return bytes(data)


@pytest.mark.parametrize("suffix", ["png", "jpg", "tif", "webp"])
def test_decompression_bombs_are_refused_by_their_header(tmp_path, suffix):
    side = 16000
    path = tmp_path / f"a.{suffix}"
    path.write_bytes(bomb(suffix, side))
    assert estimate_size(path) == (side, side)
    error = fails_to_read(path, "16000×16000", "too many")
    assert "200,000,000" in error.hint
    (tmp_path / "small.png").write_bytes(encoded("png"))
    fails_to_read(tmp_path / "small.png", "64×64", max_pixels=64 * 64 - 1)
    assert read(tmp_path / "small.png", max_pixels=64 * 64).width == 64


@pytest.mark.parametrize("suffix", ["png", "jpg", "tif", "webp"])
def test_pillows_own_limit_does_not_matter(tmp_path, monkeypatch, suffix):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    (tmp_path / "a").write_bytes(encoded(suffix))
    assert read(tmp_path / "a").width == 64
    photo().quantize(9).save(tmp_path / "p.tif")
    assert read(tmp_path / "p.tif").width == 40
    assert Image.MAX_IMAGE_PIXELS == 10
    assert ImageFile.LOAD_TRUNCATED_IMAGES is False


@pytest.mark.parametrize("size", [(0, 5), (5, 0)])
def test_no_pixels(tmp_path, size):
    (tmp_path / "a.png").write_bytes(png(*size, 8, 0, b""))
    fails_to_read(tmp_path / "a.png", "no pixels")


@pytest.mark.parametrize(
    ("suffix", "word"), [("png", "frames"), ("webp", "frames"), ("tif", "pages")]
)
def test_several_pages_are_refused(tmp_path, suffix, word):
    pages = [photo(), photo(mode="L").convert("RGB"), photo().rotate(180)]
    pages[0].save(tmp_path / f"a.{suffix}", save_all=True, append_images=pages[1:])
    fails_to_read(tmp_path / f"a.{suffix}", f"3 {word}")


def test_a_thumbnail_is_no_page(tmp_path):
    samples = np.asarray(photo())
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        file.write(samples, photometric="rgb", metadata=None)
        file.write(samples[::4, ::4], photometric="rgb", subfiletype=1, metadata=None)
    np.testing.assert_array_equal(integers_of(read(tmp_path / "a.tif")), samples)


def test_the_preview_inside_a_phone_photo_is_no_page(tmp_path):
    preview = photo().resize((10, 8))
    photo().save(tmp_path / "a.jpg", "MPO", save_all=True, append_images=[preview], quality=90)
    picture = read(tmp_path / "a.jpg")
    assert (picture.width, picture.quality) == (40, 90)


def test_a_raw_file_is_refused(tmp_path):
    samples = np.zeros((8, 8), np.uint16)
    tifffile.imwrite(tmp_path / "a.dng", samples, photometric="cfa", metadata=None)
    fails_to_read(tmp_path / "a.dng", "raw")


def test_values_that_are_not_finite(tmp_path):
    samples = np.zeros((4, 4, 3), np.float32)
    samples[0, 0] = np.nan
    samples[1, 2, 1] = np.inf
    tifffile.imwrite(tmp_path / "a.tif", samples, photometric="rgb")
    fails_to_read(tmp_path / "a.tif", "2 pixels")


def test_suffixes():
    assert {".png", ".jpg", ".jpeg", ".jpe", ".tif", ".tiff", ".webp"} == SUFFIXES


@pytest.fixture
def gray():
    return picture_of(np.asarray(photo(mode="L"))[:, :, None])


def fails_to_write(path, picture, *words, pixels=None, alpha=None):
    before = path.read_bytes() if path.is_file() else None
    with pytest.raises(OutputError) as caught:
        write(path, picture.pixels if pixels is None else pixels, picture, alpha=alpha)
    assert path.name in caught.value.sentence
    assert caught.value.sentence.endswith(".")
    for word in words:
        assert word in str(caught.value)
    assert (path.read_bytes() if path.is_file() else None) == before
    if path.parent.is_dir():
        assert not [p for p in path.parent.iterdir() if p.name.endswith(TEMPORARY_SUFFIX)]
    return caught.value


def test_outputs_that_cannot_be(tmp_path, gray):
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "file").touch()
    fails_to_write(tmp_path / "folder.png", gray, "folder")
    fails_to_write(tmp_path / "none" / "a.png", gray, "Create its folder")
    fails_to_write(tmp_path / "file" / "a.png", gray, "not a folder")
    fails_to_write(tmp_path / "a.bmp", gray, ".png")
    fails_to_write(tmp_path / "a", gray, "suffix")
    with pytest.raises(OutputError, match="shorter"):
        write(tmp_path / ("n" * 254 + ".png"), gray.pixels, gray)
    alpha = np.zeros((30, 40), np.uint8)
    fails_to_write(tmp_path / "a.jpg", gray, ".png", alpha=alpha)
    fails_to_write(tmp_path / "a.png", gray, "size", alpha=alpha[1:])
    fails_to_write(tmp_path / "a.png", gray, "shape", pixels=gray.pixels[:, :, 0])
    fails_to_write(tmp_path / "a.png", gray, "shape", pixels=gray.pixels[:, :0])
    broken = gray.pixels.copy()
    broken[3, 3] = np.nan
    fails_to_write(tmp_path / "a.png", gray, "finite", pixels=broken)
    wide = np.zeros((1, 16384, 3), np.float32)
    fails_to_write(tmp_path / "a.webp", gray, "16383", pixels=wide)


def test_metadata_that_the_format_cannot_hold(tmp_path, gray):
    like = Picture(gray.pixels, None, gray.dtype, "PNG", Metadata(exif=bytes(70_000)), None)
    fails_to_write(tmp_path / "a.jpg", like, "EXIF", ".png")


def test_a_full_disk(tmp_path, gray, monkeypatch):
    write(tmp_path / "a.jpg", gray.pixels, gray)

    def full(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    fails_to_write(tmp_path / "a.jpg", gray, "disk is full", pixels=gray.pixels[:5])


@pytest.mark.parametrize("suffix", ["jpg", "png", "tif", "npy"])
def test_a_file_that_cannot_grow_is_not_left_half_written(tmp_path, gray, suffix):
    read_before = tmp_path / f"a.{suffix}"
    write(read_before, gray.pixels, gray)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (300, hard))
    try:
        fails_to_write(read_before, gray)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_an_interrupted_write_leaves_nothing(tmp_path, gray, monkeypatch):
    def interrupt(descriptor):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write(tmp_path / "a.png", gray.pixels, gray)
    assert list(tmp_path.iterdir()) == []


def test_the_umask_decides_on_the_mode(tmp_path, gray):
    before = os.umask(0o027)
    try:
        write(tmp_path / "a.png", gray.pixels, gray)
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a.png").stat().st_mode) == 0o640


def test_an_existing_file_is_replaced_and_nothing_else_appears(tmp_path, gray):
    (tmp_path / "a.png").write_text("old")
    write(tmp_path / "a.png", gray.pixels, gray)
    assert [p.name for p in tmp_path.iterdir()] == ["a.png"]
    np.testing.assert_array_equal(read(tmp_path / "a.png").pixels, gray.pixels)


def test_integers_are_clipped_and_rounded(tmp_path, gray):
    pixels = np.array([[[-3.0], [0.4999 / 255], [0.5001 / 255], [9.0]]], np.float32)
    write(tmp_path / "a.png", pixels, gray)
    np.testing.assert_array_equal(integers_of(read(tmp_path / "a.png"))[0, :, 0], [0, 0, 1, 255])


def test_importing_loads_neither_torch_nor_openimageio():
    code = (
        "import sys, dip_engine.picture, dip_engine.masks; "
        "sys.exit(any(name in sys.modules for name in ('torch', 'OpenImageIO')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
