from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import polars as pl
import pytest

from pipelines.public_datasets import catalog
from pipelines.public_datasets.catalog import DATASETS, NamedDataset, Release, fetch, find_dataset, locate
from recsys_vae.errors import DataError, UnavailableError, UnknownNameError

pytestmark = pytest.mark.usefixtures("recsys_home")


@dataclass(frozen=True)
class Shelf:
    """An origin that has a file, or has not."""

    has_it: bool = True
    place: str = "a shelf"

    def download(self, folder: Path) -> Path:
        if not self.has_it:
            raise UnavailableError("The shelf is empty.")
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "file").write_text("1,2")
        return folder / "file"


def read(files: Sequence[Path], folder: Path) -> None:
    user, item = files[0].read_text().split(",")
    pl.DataFrame({"user_id": [user], "movie_id": [item]}).write_parquet(folder / "ratings.parquet")


def dataset(*shelves: Shelf, rows: int = 1) -> NamedDataset:
    return NamedDataset("tiny", "Tiny", "none", (rows,), tuple(Release((shelf,), read) for shelf in shelves))


def test_the_first_release_that_answers_is_taken():
    tiny = dataset(Shelf(has_it=False), Shelf())
    assert locate(tiny) is None
    folder = fetch(tiny)
    assert locate(tiny) == folder
    assert pl.read_parquet(tiny.source(folder).logs[0]).row(0) == ("1", "2")


def test_what_is_there_is_not_fetched_again(tmp_path):
    fetch(dataset(Shelf()), tmp_path / "mine")
    assert fetch(dataset(Shelf(has_it=False)), tmp_path / "mine") == tmp_path / "mine"


def test_the_data_directory_comes_first(tmp_path, monkeypatch):
    tiny = dataset(Shelf())
    fetch(tiny)
    fetch(tiny, tmp_path / "tiny")
    monkeypatch.setenv(catalog.DATA_DIR_VARIABLE, str(tmp_path))
    assert locate(tiny) == tmp_path / "tiny"


def test_when_nobody_answers_the_message_says_what_else_to_do():
    with pytest.raises(UnavailableError, match=r"The shelf is empty\. Or put its tables .* RECSYS_DATA_DIR"):
        fetch(dataset(Shelf(has_it=False)))


def test_another_number_of_rows_than_published_is_an_error_and_leaves_nothing(tmp_path):
    with pytest.raises(DataError, match="has 1 rows, the publisher counts 5"):
        fetch(dataset(Shelf(), rows=5), tmp_path / "mine")
    assert not (tmp_path / "mine").exists()


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(UnknownNameError, match="Did you mean 'movielens-1m'"):
        find_dataset("movielens1m")


@pytest.mark.parametrize("known", DATASETS.values(), ids=lambda known: known.name)
def test_every_dataset_counts_each_of_its_logs_and_has_a_card(known):
    assert len(known.rows) == len(known.logs) + len(known.given_test)
    assert all(origin.place for release in known.releases for origin in release.origins)
    card = (Path(__file__).parents[3] / "data" / "cards" / f"{known.name}.md").read_text()
    for heading in ("## Source", "## Licence", "## Columns", "## Citation"):
        assert heading in card


def test_tables_are_those_that_a_source_names(tmp_path):
    tiny = replace(dataset(Shelf()), items="movies.parquet")
    assert tiny.tables == ("ratings.parquet", "movies.parquet")
    assert tiny.source(tmp_path).items == tmp_path / "movies.parquet"
