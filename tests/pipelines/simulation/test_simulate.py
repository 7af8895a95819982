"""A log as files: the same rows however they are cut and packed, whole after any interruption, counted as ingested."""

import json
from functools import partial
from pathlib import Path

import polars as pl
import pytest
from typer.testing import CliRunner

from pipelines.cli import build
from pipelines.dataset.directory import DatasetDir
from pipelines.ingest.summary import IngestSummary
from pipelines.simulation.places import Place
from pipelines.simulation.simulate import Output, Simulated, simulate
from recsys_vae.errors import ConfigError
from recsys_vae.simulation import World, WorldSettings
from tests.buckets import own_bucket

SETTINGS = WorldSettings(users=2000, items=300, events=150_000, bad=0.01, duplicates=0.02, skewed=0.1, bots=0.01)
READ = {
    "parquet": pl.read_parquet,
    "csv": partial(pl.read_csv, infer_schema=False),
    "gz": partial(pl.read_csv, infer_schema=False),
    "ndjson": pl.read_ndjson,
}


def written(to: Path, settings: WorldSettings = SETTINGS, *, overwrite: bool = False, **output: object) -> Simulated:
    return simulate(settings, Output(Place.of(str(to)), **output), overwrite=overwrite)  # type: ignore[arg-type]


def rows(folder: Path) -> pl.DataFrame:
    parts = [READ[path.name.rpartition(".")[2]](path) for path in sorted((folder / "events").iterdir())]
    texts = [part.with_columns(pl.all().cast(pl.String)) for part in parts]
    return pl.concat(texts).fill_null("").sort(pl.all())


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_rows_are_the_same_in_any_form_and_any_number_of_parts(tmp_path):
    written(tmp_path / "csv", form="csv")
    whole = rows(tmp_path / "csv")
    assert whole.height == written(tmp_path / "many", form="csv.gz", part_rows=1).account.rows
    assert len(list((tmp_path / "many/events").iterdir())) > 1
    assert rows(tmp_path / "many").equals(whole)
    written(tmp_path / "lines", form="ndjson")
    assert rows(tmp_path / "lines").equals(whole)
    written(tmp_path / "parquet")
    typed = rows(tmp_path / "parquet")
    faulty = (pl.col("event_type") == "hover") | (pl.col("timestamp") == "yesterday")
    assert typed.filter(~faulty).equals(whole.filter(~faulty))


def test_processes_make_the_same_files(tmp_path):
    written(tmp_path / "one", part_rows=1)
    written(tmp_path / "two", part_rows=1, workers=2)
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


def test_what_is_missing_or_damaged_is_made_again_and_nothing_else(tmp_path):
    made = written(tmp_path / "log", part_rows=1)
    before = contents(tmp_path / "log")
    assert written(tmp_path / "log", part_rows=1).found == made.parts == 2
    part = tmp_path / "log/events/part-00001.parquet"
    part.write_bytes(part.read_bytes()[:-1])
    (tmp_path / "log/manifest.json").unlink()
    (tmp_path / "log/events/.part-00001.parquet.0123abcd.partial").write_bytes(b"as a killed process leaves it")
    again = written(tmp_path / "log", part_rows=1)
    assert (again.found, again.account) == (1, made.account)
    assert contents(tmp_path / "log") == before


def test_only_a_log_of_its_own_is_replaced_and_only_when_asked(tmp_path):
    written(tmp_path / "log")
    with pytest.raises(ConfigError, match="--overwrite"):
        written(tmp_path / "log", WorldSettings(events=100))
    written(tmp_path / "log", WorldSettings(events=100), overwrite=True)
    assert rows(tmp_path / "log").height == 100
    (tmp_path / "log/notes.txt").write_text("mine")
    with pytest.raises(ConfigError, match=r"notes\.txt"):
        written(tmp_path / "log", overwrite=True)
    (tmp_path / "other").mkdir()
    (tmp_path / "other/notes.txt").write_text("mine")
    with pytest.raises(ConfigError, match="left as it is"):
        written(tmp_path / "other", overwrite=True)


def test_ingest_counts_what_the_truth_says(tmp_path, monkeypatch):
    monkeypatch.setenv("RECSYS_HOME", str(tmp_path / "home"))
    sizes = ["--users", "400", "--items", "100", "--events", "9000", "--tastes", "8", "--format", "csv"]
    dirt = ["--bad", "0.05", "--duplicates", "0.03", "--skewed", "0.2"]
    run = CliRunner()
    made = run.invoke(build(), ["simulate", str(tmp_path / "log"), *sizes, *dirt])
    assert made.exit_code == 0, made.output
    weights = [f"--event-weight={kind}=1" for kind in ("view", "cart", "purchase")]
    tables = ["--items", str(tmp_path / "log/items.parquet"), "--users", str(tmp_path / "log/users")]
    done = run.invoke(build(), ["ingest", str(tmp_path / "log/events"), "--to", "shop", *weights, *tables])
    assert done.exit_code == 0, done.output
    summary = IngestSummary.read(DatasetDir.open("shop").path / "summary.json")
    true = json.loads((tmp_path / "log/truth/account.json").read_text())
    assert summary.rows_in == true["rows"]
    quarantined = {count.name.partition(" ")[0]: count.rows for count in summary.quarantined}
    assert quarantined == {
        "user_id": true["no_user"],
        "item_id": true["no_item"],
        "event_type": true["unknown_event"],
        "timestamp": true["bad_time"],
    }
    lost = sum(count.rows for count in summary.lost)
    assert (summary.kept.interactions, summary.kept.users) == (true["pairs"], true["users"])
    assert lost == true["events"] + true["duplicates"] - true["pairs"]
    assert any(f"{true['before_1990']:,} rows lie before 1990" in note for note in summary.notes)
    assert (summary.users_described, summary.items_described) == (summary.kept.users, summary.kept.items)


def test_the_truth_beside_a_log_is_that_of_its_world(tmp_path):
    written(tmp_path / "log")
    world = World.open(tmp_path / "log")
    assert world.settings == SETTINGS
    items = pl.read_parquet(tmp_path / "log/truth/items.parquet")
    users = pl.read_parquet(tmp_path / "log/truth/users/*.parquet")
    tastes = pl.read_parquet(tmp_path / "log/truth/tastes.parquet")
    # The formula of World by hand, of user 7 on the first day.
    user = users.row(7, named=True)
    theta = SETTINGS.exploration * tastes["prior"].to_numpy()
    for taste, share in list(zip(user["tastes"], user["shares"], strict=True))[:4]:
        theta[taste] += (1 - SETTINGS.exploration) * share
    totals = tastes["totals"].to_numpy()[:, 0]
    lifts = world.calendar.lifts[:, 0]
    law = [
        (
            theta[i["home"]] * i["home_share"] / totals[i["home"]]
            + theta[i["other"]] * i["other_share"] / totals[i["other"]]
        )
        * lifts[i["group"]]
        * (i["arrival_day"] <= 0)
        for i in items.iter_rows(named=True)
    ]
    assert world.click_probability([7], range(300), SETTINGS.first_second)[0] == pytest.approx(law)


def test_metadata_tell_tastes_as_truly_as_asked(tmp_path):
    for share, least, most in ((0.9, 0.88, 0.97), (0.0, 0.0, 0.08)):
        written(tmp_path / f"{share}", WorldSettings(items=3000, metadata=share, events=1000))
        known = pl.read_parquet(tmp_path / f"{share}/items.parquet")
        true = pl.read_parquet(tmp_path / f"{share}/truth/items.parquet")
        told = (known["category"].str.slice(1).cast(pl.Int16) == true["home"]).mean()
        assert least < told < most  # type: ignore[operator]


def test_a_bucket_gets_the_same_files_and_keeps_what_is_there(tmp_path, monkeypatch):
    written(tmp_path / "log", part_rows=1)
    with own_bucket(monkeypatch) as bucket:
        place = Place.of(f"{bucket.address}/log")
        made = simulate(SETTINGS, Output(place, part_rows=1))
        kept = bucket.keys()
        assert {key.removeprefix("log/"): bucket.get(key) for key in kept} == contents(tmp_path / "log")
        assert simulate(SETTINGS, Output(place, part_rows=1)).found == made.parts
        with pytest.raises(ConfigError, match="buckets"):
            simulate(WorldSettings(), Output(place), overwrite=True)


def test_forms_and_places_that_are_none_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="parquet, csv"):
        Output(Place.of(str(tmp_path / "log")), "xlsx")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="cannot be written to"):
        Place.of("https://example.com/log")
