from pathlib import Path

import polars as pl
import pytest
import typer
from typer.testing import CliRunner

from pipelines.commands.datasets import mount
from pipelines.dataset.fields import Fields
from recsys_vae.data.features import Field
from recsys_vae.errors import ConfigError, RecsysError, UnavailableError

APP = typer.Typer()
mount(APP)


def recsys(*arguments: str) -> str:
    """What the command prints; errors come as they are raised."""
    result = CliRunner().invoke(APP, arguments, catch_exceptions=False, color=False)
    if result.exit_code:
        raise AssertionError(result.output)
    return result.output


@pytest.fixture
def home(recsys_home: Path, tmp_path: Path) -> Path:
    (tmp_path / "day1.csv").write_text("userId,movieId,event\n1,10,view\n1,11,buy\n")
    (tmp_path / "day2.csv").write_text("userId,movieId,event\n2,10,buy\n3,12,share\n")
    return recsys_home


MAPPING = ("--map", "user_id=userId", "--map", "item_id=movieId", "--map", "event_type=event")


def test_globs_mapping_and_event_weights_reach_the_dataset(home, tmp_path):
    weights = ("--event-weight", "view=1", "--event-weight", "buy=3")
    output = recsys("ingest", str(tmp_path / "*.csv"), "--to", "shop", *MAPPING, *weights)
    assert "rows in" in output
    assert "quarantined: event_type has no weight" in output
    rows = pl.read_parquet(home / "datasets" / "shop" / "interactions.parquet")
    assert rows.select("user_id", "item_id", "weight").rows() == [("1", "10", 1.0), ("1", "11", 3.0), ("2", "10", 3.0)]


FILES = Path(__file__).parents[2] / "formats"


def test_a_published_split_is_recognised_and_said(home):
    output = recsys("ingest", *(str(FILES / "lightgcn" / f"{part}.txt") for part in ("test", "train")), "--to", "g")
    assert "train.txt: LightGCN's lists, a user a line (--format lightgcn)" in output
    assert pl.read_parquet(home / "datasets/g/given_test.parquet").rows() == [("0", "3"), ("2", "4")]
    assert pl.read_parquet(home / "datasets/g/interactions.parquet").height == 10


def test_what_is_said_of_files_reaches_the_reader(home, tmp_path):
    log = tmp_path / "a.log"
    log.write_bytes("1 caf\xe9 3\n2  th\xe9 4\n".encode("latin-1"))
    (tmp_path / "items.csv").write_bytes("key,title\ncaf\xe9,x\n".encode("latin-1"))
    output = recsys(
        "ingest", str(log), "--to", "g", "--no-header", "--separator", "blank", "--columns", "user_id,item_id,weight",
        "--encoding", "latin-1", "--id-prefix", "user_id=u", "--items", str(tmp_path / "items.csv"),
        "--items-map", "item_id=key", "--event-weight", "a.log:*=2",
    )  # fmt: skip
    assert "separated by 'blanks', without a header: user_id, item_id, weight, in latin-1" in output
    rows = pl.read_parquet(home / "datasets/g/interactions.parquet")
    assert rows.select("user_id", "item_id", "weight").rows() == [("u1", "caf\xe9", 6.0), ("u2", "th\xe9", 8.0)]
    assert pl.read_parquet(home / "datasets/g/items.parquet").rows() == [("caf\xe9", "x")]
    for wrong in (["--items-map", "user_id=key"], ["--format", "movielense"], ["--event-weight", "x"]):
        with pytest.raises(RecsysError):
            recsys("ingest", str(log), "--to", "h", *wrong)


def test_a_format_that_is_named_overrules_the_looks(home, tmp_path):
    (tmp_path / "list.txt").write_text("1 2\n2 3\n")
    recsys("ingest", str(tmp_path / "list.txt"), "--to", "g", "--format", "lightgcn")
    assert pl.read_parquet(home / "datasets/g/interactions.parquet").select("user_id", "item_id").rows() == [
        ("1", "2"), ("2", "3")
    ]  # fmt: skip


def test_explain_data_says_what_became_of_a_user(home, tmp_path):
    recsys("ingest", str(tmp_path / "*.csv"), "--to", "shop", *MAPPING, "--min-item", "2")
    assert "1 lost: an item with fewer than 2 users left" in recsys("explain-data", "shop", "--user", "3")
    with pytest.raises(ConfigError, match="one of --user ID and --item ID"):
        recsys("explain-data", "shop")


def test_a_public_dataset_brings_its_mapping_and_its_test_part(home, tmp_path, monkeypatch):
    folder = tmp_path / "data" / "gowalla"
    folder.mkdir(parents=True)
    pl.DataFrame({"user_id": [0, 0], "item_id": [1, 2]}).write_parquet(folder / "train.parquet")
    pl.DataFrame({"user_id": [0], "item_id": [3]}).write_parquet(folder / "test.parquet")
    monkeypatch.setenv("RECSYS_DATA_DIR", str(tmp_path / "data"))
    recsys("ingest", "gowalla", "--to", "g")
    assert pl.read_parquet(home / "datasets" / "g" / "given_test.parquet").rows() == [("0", "3")]
    assert str(folder.parent)[:10] in recsys("data", "list").replace("\n", "")


@pytest.mark.usefixtures("home")
def test_data_list_names_every_dataset():
    assert all(name in recsys("data", "list") for name in ("movielens-100k", "movielens-32m", "gowalla"))


@pytest.mark.parametrize(
    "option", ["--event-weight=buy", "--event-weight=buy=much", "--event-weight==3", "--map=x", "--min-user=0"]
)
def test_options_out_of_form_are_clear_errors(home, tmp_path, option):
    with pytest.raises(RecsysError):
        recsys("ingest", str(tmp_path / "day1.csv"), "--to", "shop", *MAPPING, option)
    assert not home.exists()


@pytest.mark.usefixtures("home")
def test_a_dataset_that_cannot_be_fetched_is_a_clear_error(monkeypatch):
    def offline(*_args: object, **_options: object) -> None:
        raise OSError("no network in this test")

    monkeypatch.setattr("urllib.request.urlopen", offline)
    with pytest.raises(UnavailableError, match="MovieLens 20M cannot be fetched"):
        recsys("data", "fetch", "movielens-20m")


def test_fields_of_the_metadata_are_declared_and_kept(home, tmp_path):
    (tmp_path / "people.csv").write_text("userId,age\n1,30\n2,40\n")
    people = ("--users", str(tmp_path / "people.csv"), "--user-field", "age:number")
    recsys("ingest", str(tmp_path / "day*.csv"), "--to", "shop", *MAPPING, *people)
    assert Fields.read(home / "datasets" / "shop" / "fields.json").users == (Field("age", "number"),)
    with pytest.raises(ConfigError, match="--user-field shoe:number names no column"):
        recsys("ingest", str(tmp_path / "day*.csv"), "--to", "x", *MAPPING, *people[:2], "--user-field", "shoe:number")
