"""Every verb that writes, pointed at a stranger's file or folder: it says so in one line and leaves all as it was."""

from pathlib import Path

import polars as pl
import pytest

from pipelines import cli
from pipelines.dataset.directory import DatasetDir
from pipelines.dataset.split_recipes import recipe
from pipelines.dataset.splits import make_split
from pipelines.ingest.ingest import ingest
from pipelines.ingest.log_sources import Source
from recsys_vae.bundles.bundle import write_bundle
from recsys_vae.bundles.manifest import Provenance
from tests.pipelines.commands.saved_images import saved
from tests.pipelines.datasets_of_tastes import dataset_of_tastes
from tests.worlds import two_tastes, untrained

FOLDERS = {
    "ingest": ("ingest", "log.csv", "--overwrite", "--to"),
    "train": ("train", "./tastes", "--model", "popularity", "--overwrite", "--to"),
    "publish": ("publish", "chosen", "./tastes", "--overwrite", "--to"),
    "images train": ("images", "train", "--model", "ae", "--data", "digits", "--overwrite", "--to"),
    "data fetch": ("data", "fetch", "movielens-100k", "--to"),
}
FILES = {
    "recommend": (("recommend", "chosen", "./tastes", "--to"), "lists.parquet"),
    "evaluate": (("evaluate", "chosen", "./tastes", "--split", "strong", "--report"), "page.html"),
    "export-events": (("export-events", "--to"), "feedback.parquet"),
    "export-impressions": (("export-impressions", "--to"), "shown.parquet"),
    "images sample": (("images", "sample", "model", "--to"), "picture.png"),
    "images score": (("images", "score", "model", "--to"), "table.parquet"),
    "images embed": (("images", "embed", "model", "--to"), "table.csv"),
    "images denoise": (("images", "denoise", "model", "--to"), "picture.svg"),
}
WITHIN = {
    "split": (("split", "./tastes", "--protocol", "strong"), "tastes/splits/strong"),
    "tune": (("tune", "./tastes", "--model", "ease", "--study", "mine", "--resume"), "tastes/studies/mine"),
    "compare": (("compare", "./tastes", "--models", "popularity", "--name", "mine"), "tastes/comparisons/mine"),
    "embed": (("embed", "chosen", "./tastes", "--to", "mine"), "mine/items.parquet"),
    "recommend": (("recommend", "chosen", "./tastes", "--to", "new.parquet"), "new.parquet.json"),
    "fit-prior": (("images", "fit-prior", "vq-vae"), "vq-vae"),
    "images denoise": (("images", "denoise", "ae", "in/digit.png", "--to", "mine"), "mine/digit.png"),
}


@pytest.fixture
def place(tmp_path: Path, recsys_home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with a log."""
    place = tmp_path / "here"
    place.mkdir()
    monkeypatch.chdir(place)
    (place / "log.csv").write_text("user_id,item_id\na,x\nb,y\n")
    return place


def with_dataset(place: Path) -> Path:
    dataset_of_tastes(place / "tastes")
    return place


def written(path: Path, trained_on: str) -> Path:
    world = two_tastes()
    origin = Provenance(dataset="tastes", trained_on=trained_on)
    write_bundle(path, untrained("ease", 12), world.items, popularity=world.item_counts(), provenance=origin)
    return path


def tree(root: Path) -> dict[str, bytes | None]:
    """Every path below a folder, with the content of files and what links lead to."""
    found: dict[str, bytes | None] = {}
    for path in sorted(root.rglob("*")):
        link = str(path.readlink()).encode() if path.is_symlink() else None
        found[str(path.relative_to(root))] = link or (path.read_bytes() if path.is_file() else None)
    return found


def refused(place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """What a command says on standard error, once it has ended with 1 and changed nothing."""
    before = tree(place)
    monkeypatch.setattr("sys.argv", ["recsys", *arguments])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    error = capsys.readouterr().err
    assert ended.value.code == 1, error
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    assert tree(place) == before
    return error


@pytest.mark.parametrize("verb", FOLDERS)
def test_a_strangers_folder_is_left_as_it_is(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], verb: str
) -> None:
    with_dataset(place)
    (place / "mine" / "deep").mkdir(parents=True)
    (place / "mine" / "deep" / "thesis.txt").write_text("years of work")
    assert "mine is left as it is" in refused(place, monkeypatch, capsys, *FOLDERS[verb], "./mine")


@pytest.mark.parametrize("verb", FOLDERS)
@pytest.mark.parametrize("name", ["", ".", "..", "/", "~", "../here", "./link", "./log.csv", "../home/datasets"])
def test_what_is_no_place_of_its_own_is_refused_by_name(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], verb: str, name: str
) -> None:
    monkeypatch.setenv("HOME", str(place.parent))
    with_dataset(place)
    other = place.parent / "home" / "datasets" / "other"
    ingest(Source((place / "log.csv",)), DatasetDir(other))
    (place / "link").symlink_to(other)
    before = tree(place.parent)
    error = refused(place, monkeypatch, capsys, *FOLDERS[verb], name)
    assert tree(place.parent) == before
    assert any(words in error for words in ("names no", "is or holds", "is a link", "no folder"))


@pytest.mark.parametrize("verb", FILES)
def test_a_strangers_file_is_left_as_it_is(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], verb: str
) -> None:
    command, name = FILES[verb]
    if name.endswith("parquet"):
        pl.DataFrame({"user_id": ["a"], "item_id": ["x"]}).write_parquet(place / name)
    else:
        (place / name).write_text("years of work")
    assert f"{name} is left as it is: it is not a" in refused(place, monkeypatch, capsys, *command, name)


@pytest.mark.parametrize("verb", FILES)
def test_nothing_is_written_into_a_bundle_or_over_one(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], verb: str
) -> None:
    command, name = FILES[verb]
    bundle = written(place / "bundle", "all")
    bundle.rename(place / f"bundle{Path(name).suffix}")
    error = refused(place, monkeypatch, capsys, *command, f"bundle{Path(name).suffix}")
    assert "no plain file" in error
    error = refused(place, monkeypatch, capsys, *command, f"bundle{Path(name).suffix}/{name}")
    assert "lies inside the saved model" in error


@pytest.mark.parametrize("verb", WITHIN)
def test_a_strangers_file_where_a_verb_chooses_the_name_is_left_as_it_is(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], verb: str
) -> None:
    with_dataset(place)
    written(place / "chosen", "split:strong/train")
    for model in ("vq-vae", "ae"):
        saved(model, place)
    (place / "in").mkdir()
    from PIL import Image

    Image.new("L", (8, 8)).save(place / "in" / "digit.png")
    command, name = WITHIN[verb]
    stranger = place / name if Path(name).suffix else place / name / "notes.txt"
    stranger.parent.mkdir(parents=True, exist_ok=True)
    stranger.write_text("years of work")
    assert "is left as it is" in refused(place, monkeypatch, capsys, *command)


def test_ones_own_files_within_a_dataset_or_bundle_keep_it(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with_dataset(place)
    ingest(Source((place / "log.csv",)), DatasetDir(place / "old"))
    written(place / "chosen", "split:strong/train")
    (place / "old" / "splits" / "strong").mkdir(parents=True)
    (place / "old" / "splits" / "strong" / "notes.txt").write_text("mine")
    (place / "chosen" / "notes.txt").write_text("mine")
    assert "splits/strong/notes.txt" in refused(place, monkeypatch, capsys, *FOLDERS["ingest"], "./old")
    assert "notes.txt" in refused(place, monkeypatch, capsys, *FOLDERS["train"], "chosen")


def test_train_and_publish_do_not_replace_each_others_bundles(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with_dataset(place)
    written(place / "chosen", "split:strong/train")
    written(place / "shipped", "all")
    written(place / "other", "split:strong/train")
    assert "recsys train" in refused(place, monkeypatch, capsys, *FOLDERS["train"], "shipped")
    assert "recsys publish" in refused(place, monkeypatch, capsys, *FOLDERS["publish"], "other")


def test_a_dataset_with_splits_and_studies_is_replaced(place: Path) -> None:
    dataset = DatasetDir(dataset_of_tastes(place / "tastes").path)
    log = dataset.interactions_path.rename(place / "log.parquet")
    ingest(Source((log,)), DatasetDir(place / "shop"))
    shop = DatasetDir(place / "shop")
    make_split(shop, recipe("strong", heldout=10, min_items=4))
    make_split(shop, recipe("strong", heldout=10, min_items=4))
    for name in ("study.db", "best.toml", ".lock"):
        (shop.study_path("s") / name).parent.mkdir(parents=True, exist_ok=True)
        (shop.study_path("s") / name).touch()
    for name in ("comparison.json", "values.npz", "0-1.safetensors", "0.weights", ".page.html.0a1b2c3d.partial"):
        (shop.comparison_path("c") / name).parent.mkdir(parents=True, exist_ok=True)
        (shop.comparison_path("c") / name).touch()
    ingest(Source((log,)), shop, overwrite=True)
    assert shop.splits() == []


def test_make_clean_keeps_what_people_made(tmp_path: Path) -> None:
    import subprocess

    makefile = Path(__file__).parents[2] / "Makefile"
    (tmp_path / ".recsys" / "datasets" / "mine").mkdir(parents=True)
    (tmp_path / "package" / "__pycache__").mkdir(parents=True)
    (tmp_path / "package" / "module.py").touch()
    done = subprocess.run(["make", "-f", makefile, "clean"], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert "Kept: .recsys" in done.stdout
    assert sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")) == [
        ".recsys", ".recsys/datasets", ".recsys/datasets/mine", "package", "package/module.py",
    ]  # fmt: skip
