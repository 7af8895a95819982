"""Lists and neighbours of a whole bundle as tables; the same as the service answers."""

from pathlib import Path

import polars as pl
import pytest
from typer.testing import CliRunner

from pipelines.cli import build
from pipelines.item_lists import list_all, neighbours_of_all
from recsys_vae.bundles.bundle import Bundle
from recsys_vae.errors import ConfigError, DataError, UnknownNameError
from tests.recsys_vae.test_bundle_values import written
from tests.worlds import two_tastes


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(tmp_path_factory.mktemp("bundles") / "b")


def test_lists_of_a_bundle(path: Path, tmp_path: Path) -> None:
    bundle, to = Bundle.load(path), tmp_path / "lists.parquet"
    counts = list_all(bundle, to, k=3)
    table = pl.read_parquet(to)
    assert table.columns == ["list", "rank", "item_id", "score"]
    assert counts == dict(table.group_by("list", maintain_order=True).len().iter_rows())
    assert counts["popular"] == counts["new"] == 3
    assert table.filter(pl.col("list") == "new")["rank"].to_list() == [1, 2, 3]
    assert list_all(bundle, to, names=["new"], k=500) == {"new": 200}
    assert list_all(bundle, to, names=["popular"], k=2, metadata={"taste": "left"}) == {"popular": 2}
    with pytest.raises(UnknownNameError, match="nope"):
        list_all(bundle, to, names=["nope"])
    with pytest.raises(DataError, match="segment"):
        list_all(bundle, to, metadata={"taste": "nowhere", "colour": "red"})


@pytest.mark.parametrize("kind", ["similar", "bought-together"])
def test_neighbours_of_all_items(path: Path, tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipelines.item_lists.ITEMS_AT_ONCE", 70)
    bundle, to = Bundle.load(path), tmp_path / "neighbours.parquet"
    rows = neighbours_of_all(bundle, to, kind=kind, k=3)
    table = pl.read_parquet(to)
    assert table.columns == ["item_id", "rank", "neighbour_id", "score"]
    assert rows == table.height
    assert table.filter(pl.col("item_id") == pl.col("neighbour_id")).is_empty()
    if kind == "similar":
        assert table["item_id"].value_counts()["count"].unique().to_list() == [3]
    with pytest.raises(UnknownNameError):
        neighbours_of_all(bundle, to, kind="nope")


def test_the_commands(path: Path, tmp_path: Path) -> None:
    run = CliRunner().invoke
    found = run(build(), ["lists", str(path), "--to", str(tmp_path / "l.parquet"), "--name", "new", "--k", "5"])
    assert (found.exit_code, "5 new" in found.output) == (0, True)
    found = run(build(), ["neighbours", str(path), "--to", str(tmp_path / "n.parquet"), "--k", "2"])
    assert (found.exit_code, f"{2 * two_tastes(n_items=200).n_items} rows" in found.output) == (0, True)
    other = tmp_path / "other.parquet"
    pl.DataFrame({"a": [1]}).write_parquet(other)
    with pytest.raises(ConfigError):
        list_all(Bundle.load(path), other)
