from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipelines.images import pictures
from pipelines.images.folder import read_folder
from pipelines.images.pictures import Format
from recsys_vae.errors import DataError

GREY, COLOUR = Format(4, 4), Format(4, 4, colour=True)


def paint(path: Path, colour: tuple[int, int, int], size: tuple[int, int] = (9, 6)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number in range(8):
        paint(tmp_path / "red" / f"{number}.png", (255, 0, 0))
        paint(tmp_path / "blue" / "deep" / f"{number}.bmp", (0, 0, 255))
    return tmp_path


def test_subfolders_are_classes_and_every_picture_goes_to_one_part(folder: Path) -> None:
    parts = read_folder(folder, COLOUR)
    assert parts.labels == ("blue", "red")
    assert [len(part) for part in (parts.train, parts.validation, parts.test)] == [12, 2, 2]
    assert parts.shape == (3, 4, 4)
    for part in (parts.train, parts.validation, parts.test):
        blue = part.x[:, 2].float().mean(dim=(1, 2)) > 128
        assert part.y is not None
        assert (blue == (part.y == 0)).all()


def test_the_cut_goes_by_names(folder: Path) -> None:
    paths = sorted(folder.rglob("*.png"))
    shades = {path.name: 10 * number for number, path in enumerate(paths)}
    for path in paths:
        paint(path, (shades[path.name],) * 3)
    before = sorted(read_folder(folder / "red", GREY).test.x[:, 0, 0, 0].tolist())
    assert sorted(read_folder(folder / "red", GREY).test.x[:, 0, 0, 0].tolist()) == before
    paint(folder / "red" / "unlike.png", (1, 1, 1))
    after = read_folder(folder / "red", GREY)
    assert set(before) & set(after.train.x[:, 0, 0, 0].tolist()) == set()


def test_grey_pictures_have_one_channel_and_a_picture_of_other_proportions_is_cropped(tmp_path: Path) -> None:
    stripes = np.zeros((4, 8), np.uint8)
    stripes[:, 2:6] = 200  # the square in the middle
    for number in range(3):
        Image.fromarray(stripes + np.uint8(number)).save(tmp_path / f"{number}.png")
    parts = read_folder(tmp_path, GREY)
    assert (parts.shape, parts.labels, parts.train.y) == ((1, 4, 4), (), None)
    assert {part.x.unique().item() for part in (parts.train, parts.validation, parts.test)} == {200, 201, 202}


def test_files_that_give_no_image_are_named_with_the_reason(folder: Path) -> None:
    whole = (folder / "blue" / "deep" / "0.bmp").read_bytes()
    (folder / "red" / "cut.bmp").write_bytes(whole[: len(whole) // 2])
    (folder / "red" / "notes.txt").write_text("not a picture")
    (folder / "red" / "text.jpg").write_text("not a picture either")
    (folder / ".hidden.png").write_bytes(b"")
    parts = read_folder(folder, GREY)
    reasons = {entry.path: entry.reason for entry in parts.passed_over}
    assert reasons.keys() == {"red/cut.bmp", "red/notes.txt", "red/text.jpg"}
    assert reasons["red/notes.txt"].startswith("its ending is none of .png, .jpg")
    assert "truncated" in reasons["red/cut.bmp"]
    assert reasons["red/text.jpg"].startswith("its content is none of PNG, JPEG")
    assert len(parts.train) + len(parts.validation) + len(parts.test) == 16


def test_pictures_beside_classes_are_refused(folder: Path) -> None:
    paint(folder / "loose.png", (0, 0, 0))
    with pytest.raises(DataError, match=r"loose\.png"):
        read_folder(folder, GREY)


def test_too_few_pictures_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds 0 pictures"):
        read_folder(tmp_path, GREY)
    paint(tmp_path / "one.png", (0, 0, 0))
    (tmp_path / "two.png").write_text("no picture")
    with pytest.raises(DataError, match=r"holds 1 pictures .* at least 3 .* Passed over were 1, such as two\.png"):
        read_folder(tmp_path, GREY)


def test_pictures_that_are_all_the_same_are_refused(tmp_path: Path) -> None:
    for number in range(4):
        paint(tmp_path / f"{number}.png", (9, 9, 9))
    with pytest.raises(DataError, match=r"are the same \(pixels from 9 to 9\)"):
        read_folder(tmp_path, GREY)
    paint(tmp_path / "4.png", (10, 10, 10))
    assert len(read_folder(tmp_path, GREY).train) == 3


def test_files_under_a_wrong_name_are_read_and_named(folder: Path) -> None:
    Image.new("L", (4, 4)).save(folder / "red" / "photo.jpg", format="PNG")
    parts = read_folder(folder, GREY)
    assert [str(remark) for remark in parts.misnamed] == [
        "red/photo.jpg: its content is PNG, and its ending .jpg does not say so"
    ]
    assert not parts.passed_over


def test_pictures_too_large_to_be_one_are_passed_over(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "MOST_PIXELS", 60)
    paint(folder / "red" / "wide.png", (0, 0, 0), size=(10, 8))
    paint(folder / "red" / "vast.png", (0, 0, 0), size=(100, 80))
    reasons = {entry.path for entry in read_folder(folder, GREY).passed_over}
    assert reasons == {"red/wide.png", "red/vast.png"}
