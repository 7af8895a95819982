import json
from pathlib import Path

import pytest

from recsys_vae.errors import ConfigError
from recsys_vae.outputs import DirectoryProduct, FileProduct, check_output, marked_product, table_product

BOX = DirectoryProduct("a box", "box.json", lambda told: ["box.json", "parts/*/data.*"] if "box" in told else None)
NOTE = marked_product("a note", b"written by us")


@pytest.fixture
def box(tmp_path: Path) -> Path:
    path = tmp_path / "box"
    (path / "parts" / "one").mkdir(parents=True)
    (path / "box.json").write_text('{"box": 1}')
    (path / "parts" / "one" / "data.npy").write_text("1")
    return path


def test_what_the_command_wrote_may_be_replaced(box: Path) -> None:
    assert check_output(box, BOX) == box.resolve()
    assert check_output(box.parent / "new" / "box", BOX) == box.parent / "new" / "box"


def test_an_empty_folder_and_an_empty_file_have_nothing_to_lose(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    check_output(tmp_path / "folder", BOX)
    check_output(tmp_path / "file", NOTE)


@pytest.mark.parametrize(
    "address", ["postgresql://me:secret@host/db", "s3://bucket/lists.parquet", "file:/lists.parquet", "HTTPS://a/b"]
)
def test_an_address_is_no_place_to_write_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=r"^\w+:\.\.\. is an address, and what is written here are files and folders"):
        check_output(Path(address), NOTE)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("stranger", ["notes.txt", "parts/one/notes.txt", "parts/data.npy", "mine/", "parts/one/deep/"])
def test_one_strangers_entry_keeps_the_whole(box: Path, stranger: str) -> None:
    if stranger.endswith("/"):
        (box / stranger).mkdir()
    else:
        (box / stranger).write_text("mine")
    with pytest.raises(ConfigError, match=f"{stranger.strip('/')} in it is no part of a box"):
        check_output(box, BOX)


def test_a_link_among_the_files_is_a_stranger(box: Path) -> None:
    (box / "parts" / "one" / "data.raw").symlink_to(box / "box.json")
    with pytest.raises(ConfigError, match=r"data\.raw"):
        check_output(box, BOX)


@pytest.mark.parametrize("marker", ['{"other": 1}', "[]", "no JSON", None])
def test_a_folder_without_its_marker_is_a_strangers(box: Path, marker: str | None) -> None:
    (box / "box.json").unlink()
    if marker is not None:
        (box / "box.json").write_text(marker)
    with pytest.raises(ConfigError, match=r"it has no box\.json of a box"):
        check_output(box, BOX)


@pytest.mark.parametrize("name", ["", ".", "..", "/", "box/..", "../.."])
def test_names_of_no_place_of_their_own_are_refused(box: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.chdir(box.parent)
    for product in (BOX, NOTE):
        with pytest.raises(ConfigError, match="names no file or folder of its own"):
            check_output(Path(name), product)


def test_links_at_the_place_are_refused_and_links_above_it_followed(box: Path, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(box)
    with pytest.raises(ConfigError, match="is a link"):
        check_output(link, BOX)
    link.unlink()
    link.symlink_to(tmp_path / "nowhere")
    with pytest.raises(ConfigError, match="is a link"):
        check_output(link, NOTE)
    (tmp_path / "above").symlink_to(tmp_path)
    assert check_output(tmp_path / "above" / "box", BOX) == box


def test_a_file_is_no_folder_and_a_folder_no_file(box: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(ConfigError, match="no folder"):
        check_output(tmp_path / "file", BOX)
    with pytest.raises(ConfigError, match="no plain file"):
        check_output(box, NOTE)
    with pytest.raises(ConfigError, match="file is no folder"):
        check_output(tmp_path / "file" / "below", BOX)
    with pytest.raises(ConfigError, match="no plain file"):
        check_output(Path("/dev/null"), NOTE)


def test_what_all_commands_need_is_never_replaced(
    box: Path, recsys_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(box / "parts")
    monkeypatch.setenv("HOME", str(box.parent / "somebody"))
    for place in (box, box / "parts", recsys_home, recsys_home / "datasets", box.parent, box.parent / "somebody"):
        with pytest.raises(ConfigError, match="it is or holds"):
            check_output(place, BOX)
    check_output(recsys_home / "datasets" / "one", BOX)


def test_nothing_is_written_into_what_another_command_keeps(tmp_path: Path) -> None:
    bundle = tmp_path / "bundle"
    bundle.mkdir()
    (bundle / "manifest.json").write_text(json.dumps({"format_version": 0, "files": {}, "checksum": ""}))
    for place in (bundle / "page.html", bundle / "deep" / "page.html"):
        with pytest.raises(ConfigError, match="lies inside the saved model"):
            check_output(place, NOTE)
    dataset = tmp_path / "dataset"
    dataset.mkdir()
    (dataset / "interactions.parquet").touch()
    (dataset / "summary.json").write_text(json.dumps({"rows_in": 1}))
    with pytest.raises(ConfigError, match="lies inside the dataset"):
        check_output(dataset / "splits" / "page.html", NOTE)
    with pytest.raises(ConfigError, match="lies inside the registry"):
        check_output(tmp_path / "mlartifacts" / "1" / "page.html", NOTE)


def test_files_are_recognised_by_what_they_say(tmp_path: Path) -> None:
    path = tmp_path / "note"
    path.write_bytes(b"x" * 100_000 + b"written by us")
    check_output(path, NOTE)
    path.write_bytes(b"x")
    with pytest.raises(ConfigError, match="it is not a note"):
        check_output(path, NOTE)
    with pytest.raises(ConfigError, match="it is not a table"):
        check_output(path, table_product("a table", ["a"]))


def test_a_recogniser_that_cannot_read_the_file_does_not_know_it(tmp_path: Path) -> None:
    (tmp_path / "note").write_text("no JSON")
    with pytest.raises(ConfigError, match="it is not a note"):
        check_output(tmp_path / "note", FileProduct("a note", lambda path: json.loads(path.read_bytes())))
