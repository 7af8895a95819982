"""Every kind of picture as the bytes that it stands for: made here, read back, compared by hand."""

import contextlib
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pipelines.images import pictures
from pipelines.images.pictures import FORMATS, Format, read_picture
from recsys_vae.errors import ConfigError, DataError

GREY, COLOUR = Format(2, 2), Format(2, 2, colour=True)
RAMP = np.array([[0, 64], [128, 255]], np.uint8)
SAVED: dict[str, dict[str, Any]] = {"WEBP": {"lossless": True}, "JPEG": {"quality": 100, "subsampling": 0}}


def tiff(path: Path, pixels: np.ndarray, **tags: float) -> Path:
    """A TIFF of one channel, in the type of the pixels, by hand: Pillow writes only some of the types."""
    order = ">" if pixels.dtype.byteorder == ">" else "<"
    height, width = pixels.shape
    kind = {"u": 1, "i": 2, "f": 3}[pixels.dtype.kind]
    longs = {256: width, 257: height, 258: 8 * pixels.itemsize, 259: 1, 262: 1, 273: 8, 277: 1, 278: height}
    longs |= {279: pixels.nbytes, 339: kind}
    entries = {tag: struct.pack(order + "HHII", tag, 4, 1, value) for tag, value in longs.items()}
    for name, value in tags.items():
        if name == "photometric":
            entries[262] = struct.pack(order + "HHII", 262, 4, 1, int(value))
        else:
            number = {"low": 340, "high": 341}[name]
            entries[number] = struct.pack(order + "HHIf", number, 11, 1, value)
    start = 8 + pixels.nbytes
    head = (b"MM" if order == ">" else b"II") + struct.pack(order + "HI", 42, start)
    directory = b"".join(entries[tag] for tag in sorted(entries))
    path.write_bytes(
        head + pixels.tobytes() + struct.pack(order + "H", len(entries)) + directory + struct.pack(order + "I", 0)
    )
    return path


def png(path: Path, head: bytes, rows: bytes, **chunks: bytes) -> Path:
    """A PNG of 2 by 2 pixels: bit depth and colour type, rows with their filter bytes, chunks before the pixels."""
    parts = [(b"IHDR", struct.pack(">II", 2, 2) + head + b"\0\0\0")]
    parts += [(name.encode(), content) for name, content in chunks.items()]
    parts += [(b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    written = [
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)) for kind, body in parts
    ]
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(written))
    return path


def read(path: Path, form: Format = GREY) -> list[Any]:
    found = read_picture(path, form)
    assert not found.remark
    return found.pixels.squeeze(-1).tolist() if not form.colour else found.pixels.tolist()


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_each_format_is_read_as_it_was_written(name: str, tmp_path: Path) -> None:
    path = tmp_path / f"x{FORMATS[name][-1]}"
    Image.fromarray(RAMP).save(path, format=name, **SAVED.get(name, {}))
    assert np.abs(np.array(read(path)) - RAMP).max() <= (3 if name == "JPEG" else 0)


@pytest.mark.parametrize("kind", ["<u2", ">u2"])
def test_sixteen_bits_are_scaled_by_their_range(kind: str, tmp_path: Path) -> None:
    deep = RAMP.astype(kind) * 257
    assert read(tiff(tmp_path / "x.tif", deep)) == RAMP.tolist()
    assert read(tiff(tmp_path / "dim.tif", deep // 257)) == [[0, 0], [0, 1]]  # as the file says, not as it would look
    Image.fromarray(deep.astype("<u2")).save(tmp_path / "x.png")
    assert read(tmp_path / "x.png") == RAMP.tolist()


def test_a_depth_of_fewer_bits_counts_where_it_is_declared_and_a_statistic_does_not(tmp_path: Path) -> None:
    twelve = np.rint(RAMP / 255 * 4095).astype("<u2")
    assert read(tiff(tmp_path / "x.tif", twelve, low=0, high=4095)) == RAMP.tolist()
    assert read(tiff(tmp_path / "y.tif", twelve, low=0, high=4094))[1][1] == 16
    with pytest.raises(DataError, match="declares 0 to 1023"):
        read(tiff(tmp_path / "z.tif", twelve, low=0, high=1023))


def test_a_netpbm_of_sixteen_or_fewer_bits_is_scaled_by_its_header(tmp_path: Path) -> None:
    (tmp_path / "x.pgm").write_bytes(b"P5 2 2 65535\n" + (RAMP.astype(">u2") * 257).tobytes())
    assert read(tmp_path / "x.pgm") == RAMP.tolist()
    (tmp_path / "few.pgm").write_bytes(b"P5 2 2 1000\n" + np.array([0, 251, 502, 1000], ">u2").tobytes())
    assert read(tmp_path / "few.pgm") == RAMP.tolist()


def test_where_a_tiff_counts_white_as_zero_it_is_turned_round(tmp_path: Path) -> None:
    path = tiff(tmp_path / "x.tif", (255 - RAMP.astype("<u2")) * 257, photometric=0)
    assert read(path) == RAMP.tolist()


def test_floats_are_scaled_by_the_declared_range_or_taken_as_shares_of_one(tmp_path: Path) -> None:
    shares = RAMP.astype("<f4") / 255
    assert read(tiff(tmp_path / "x.tif", shares)) == RAMP.tolist()
    assert read(tiff(tmp_path / "y.tif", shares * 30 - 10, low=-10, high=20)) == RAMP.tolist()
    for number, pixels in enumerate([shares * 255, shares - 0.5, np.full((2, 2), np.nan, "<f4")]):
        with pytest.raises(DataError, match="8 or 16 bits"):
            read(tiff(tmp_path / f"{number}.tif", pixels))
    with pytest.raises(DataError, match="declares -10 to 19"):
        read(tiff(tmp_path / "z.tif", shares * 30 - 10, low=-10, high=19))


@pytest.mark.parametrize(("kind", "said"), [("<i4", "signed whole numbers of 32 bits"), (">i2", "of 16 bits")])
def test_whole_numbers_without_a_range_are_refused_and_with_one_are_read(kind: str, said: str, tmp_path: Path) -> None:
    wide = RAMP.astype(kind) * 100 - 5000
    with pytest.raises(DataError, match=said):
        read(tiff(tmp_path / "x.tif", wide))
    assert read(tiff(tmp_path / "y.tif", wide, low=-5000, high=20500)) == RAMP.tolist()


def test_unsigned_numbers_of_32_bits_do_not_turn_negative(tmp_path: Path) -> None:
    wide = RAMP.astype("<u4") << 24
    with pytest.raises(DataError, match="are whole numbers of 32 bits"):
        read(tiff(tmp_path / "x.tif", wide))
    assert read(tiff(tmp_path / "y.tif", wide, low=0, high=255.0 * 2**24)) == RAMP.tolist()


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_what_is_transparent_is_white(mode: str, tmp_path: Path) -> None:
    drawing = Image.new(mode, (2, 2))  # all black; the drawing is its alpha channel
    drawing.putalpha(Image.fromarray(255 - RAMP))
    for ending in ("png", "tif", *(["webp"] if mode == "RGBA" else [])):
        drawing.save(tmp_path / f"x.{ending}", **({"lossless": True} if ending == "webp" else {}))
        assert read(tmp_path / f"x.{ending}") == RAMP.tolist()
        assert read(tmp_path / f"x.{ending}", COLOUR) == np.repeat(RAMP[..., None], 3, axis=2).tolist()


def test_a_transparent_colour_or_entry_of_a_palette_is_white(tmp_path: Path) -> None:
    rows = b"\0\x00\x40\0\x80\xff"
    assert read(png(tmp_path / "grey.png", b"\x08\0", rows, tRNS=b"\0\x40")) == [[0, 255], [128, 255]]
    deep = b"\0\x00\x00\x40\x40\0\x80\x80\xff\xff"
    assert read(png(tmp_path / "deep.png", b"\x10\0", deep, tRNS=b"\x40\x40")) == [[0, 255], [128, 255]]
    palette = b"\x0a\x0a\x0a\x14\x14\x14\x1e\x1e\x1e\x28\x28\x28"
    path = png(tmp_path / "p.png", b"\x02\x03", b"\0\x10\0\xb0", PLTE=palette, tRNS=b"\xff\0")
    assert read(path) == [[10, 255], [30, 40]]
    assert read(png(tmp_path / "bit.png", b"\x01\0", b"\0\x40\0\x80")) == [[0, 255], [255, 0]]
    assert read(png(tmp_path / "cut.png", b"\x01\0", b"\0\x40\0\x80", tRNS=b"\0\0")) == [[255, 255], [255, 255]]


def test_palettes_and_inks_are_colours(tmp_path: Path) -> None:
    red = Image.new("RGB", (2, 2), (255, 0, 0))
    red.quantize(2).save(tmp_path / "x.gif")
    red.convert("CMYK").save(tmp_path / "x.tif")
    for name in ("x.gif", "x.tif"):
        assert read(tmp_path / name, COLOUR) == [[[255, 0, 0]] * 2] * 2
    red.convert("CMYK").save(tmp_path / "x.jpg", quality=100)
    np.testing.assert_allclose(read(tmp_path / "x.jpg", COLOUR), [[[255, 0, 0]] * 2] * 2, atol=3)


@pytest.mark.parametrize(("mode", "red"), [("LAB", (136, 208, 195)), ("YCbCr", (76, 85, 255))])
def test_colours_in_other_coordinates_are_red_green_and_blue(
    mode: str, red: tuple[int, int, int], tmp_path: Path
) -> None:
    Image.new(mode, (2, 2), red).save(tmp_path / "x.tif")
    np.testing.assert_allclose(read(tmp_path / "x.tif", COLOUR), [[[255, 0, 0]] * 2] * 2, atol=12)


@pytest.mark.parametrize("ending", ["png", "jpg", "tif", "webp"])
def test_pictures_stand_upright(ending: str, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: the first row is the right side
    Image.fromarray(RAMP).save(
        tmp_path / f"x.{ending}", exif=exif, **SAVED.get({"jpg": "JPEG"}.get(ending, "WEBP"), {})
    )
    np.testing.assert_allclose(read(tmp_path / f"x.{ending}"), np.rot90(RAMP, -1), atol=3 if ending == "jpg" else 0)


def test_a_damaged_note_of_the_camera_does_not_cost_the_picture(tmp_path: Path) -> None:
    Image.fromarray(RAMP).save(tmp_path / "x.png", exif=b"Exif\0\0II*\0\xff\xff\xff\xff")
    assert read(tmp_path / "x.png") == RAMP.tolist()


@pytest.mark.parametrize("ending", ["gif", "tif", "png", "webp"])
def test_files_of_several_pictures_are_refused(ending: str, tmp_path: Path) -> None:
    frames = [Image.fromarray(RAMP), Image.fromarray(255 - RAMP)]
    frames[0].save(tmp_path / f"x.{ending}", save_all=True, append_images=frames[1:])
    with pytest.raises(DataError, match="several pictures"):
        read(tmp_path / f"x.{ending}")


def test_a_photo_with_a_preview_behind_it_is_the_photo(tmp_path: Path) -> None:
    photo = RAMP.repeat(8, axis=0).repeat(8, axis=1)
    Image.fromarray(photo).save(
        tmp_path / "x.jpg", format="MPO", save_all=True, append_images=[Image.new("L", (8, 8))], quality=100
    )
    np.testing.assert_allclose(read(tmp_path / "x.jpg", Format(16, 16)), photo, atol=3)


def test_the_content_decides_and_another_ending_is_said(tmp_path: Path) -> None:
    for name in ("x.png", "x", "x.dat"):
        Image.fromarray(RAMP).save(tmp_path / name, format="BMP")
        found = read_picture(tmp_path / name, GREY)
        assert found.pixels.squeeze(-1).tolist() == RAMP.tolist()
        assert found.remark.startswith("its content is BMP, and its ending")


@pytest.mark.parametrize("other", ["TGA", "PCX", "ICO", "EPS", "SGI", "DDS", "PDF"])
def test_nothing_else_that_pillow_knows_is_opened(other: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.new("RGB", (16, 16)).save(tmp_path / "x.png", format=other)
    tried: list[str] = []
    for name, (factory, accept) in list(Image.OPEN.items()):
        monkeypatch.setitem(Image.OPEN, name, (_noting(tried, name, factory), accept))
    with pytest.raises(DataError, match="none of PNG, JPEG, TIFF"):
        read(tmp_path / "x.png")
    assert not set(tried) - set(FORMATS)


def test_the_size_is_looked_at_before_anything_is_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.fromarray(RAMP).save(tmp_path / "x.png")
    monkeypatch.setattr(pictures, "MOST_PIXELS", 3)
    monkeypatch.setattr(Image.Image, "load", lambda _: pytest.fail("decoded"))
    with pytest.raises(DataError, match="too large: 2 x 2 pixels, and at most 3"):
        read(tmp_path / "x.png")


def test_what_is_no_file_is_said(tmp_path: Path) -> None:
    for path in (tmp_path / "missing.png", tmp_path):
        with pytest.raises(DataError, match="no such file"):
            read(path)


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_a_damaged_file_is_read_or_refused(name: str, tmp_path: Path) -> None:
    Image.fromarray(RAMP).save(tmp_path / "x", format=name, **SAVED.get(name, {}))
    whole, draw = (tmp_path / "x").read_bytes(), np.random.default_rng(0)
    for _ in range(60):
        damaged = bytearray(whole[: draw.integers(1, len(whole) + 1)])
        damaged[draw.integers(len(damaged))] = draw.integers(256)
        (tmp_path / "y").write_bytes(damaged)
        with contextlib.suppress(DataError):
            assert read_picture(tmp_path / "y", GREY).pixels.shape == (2, 2, 1)


@pytest.mark.parametrize("side", [0, -1, 4097])
def test_images_have_a_side_that_can_be_held(side: int) -> None:
    with pytest.raises(ConfigError, match=r"1 to 4,096 pixels"):
        Format(height=side)


def _noting(tried: list[str], name: str, factory: Callable[..., Any]) -> Callable[..., Any]:
    def noted(*arguments: Any) -> Any:
        tried.append(name)
        return factory(*arguments)

    return noted
