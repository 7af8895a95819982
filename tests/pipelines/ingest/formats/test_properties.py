"""RetailRocket's folder: its log, and its item properties in two parts."""

from pathlib import Path

import polars as pl
import pytest
from typer.testing import CliRunner

from pipelines.cli import build
from pipelines.ingest.formats.properties import take_properties

HEADER = "timestamp,itemid,property,value\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "retail[rocket]"
    folder.mkdir()
    (folder / "events.csv").write_text(
        "timestamp,visitorid,event,itemid,transactionid\n1433221332117,257597,view,355908,\n"
        "1433224214164,992329,view,248676,\n"
    )
    (folder / "category_tree.csv").write_text("categoryid,parentid\n1016,213\n")
    (folder / "item_properties_part1.csv").write_text(
        HEADER + "1435460400000,355908,categoryid,1338\n1441508400000,355908,888,new\n"
    )
    (folder / "item_properties_part2.csv").write_text(
        HEADER + "1435460500000,355908,888,old\n1435460500000,248676,categoryid,7\n"
    )
    return folder


def test_properties_lie_beside_the_log(folder: Path) -> None:
    logs, properties = take_properties(sorted(folder.iterdir()))
    assert logs == (folder / "events.csv",)
    assert properties is not None
    assert properties.name == "item_properties_part*.csv"


def test_without_a_log_or_by_name_alone_they_are_what_they_were(folder: Path) -> None:
    parts = sorted(folder.glob("item*"))
    assert take_properties(parts) == (tuple(parts), None)
    for part in parts:
        part.write_text("user_id,item_id\n1,2\n")
    files = sorted(folder.iterdir())
    assert take_properties(files) == (tuple(files), None)


def test_ingest_takes_the_folder(folder: Path, tmp_path: Path) -> None:
    target = tmp_path / "made" / "shop"
    options = ["--to", str(target), "--event-weight", "view=1"]
    done = CliRunner().invoke(build("ingest"), ["ingest", str(folder), *options], catch_exceptions=False)
    assert done.exit_code == 0
    assert "item_properties_part*.csv: taken as --items" in done.output
    assert pl.read_parquet(target / "items.parquet").sort("item_id").rows() == [
        ("248676", "7", None),
        ("355908", "1338", "888=new"),
    ]
