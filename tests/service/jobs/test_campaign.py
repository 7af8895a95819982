"""Campaigns: their lists are the endpoint's, whatever the request, the parts and the interruptions."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import typer
from fastapi.testclient import TestClient
from polars.testing import assert_frame_equal
from typer.testing import CliRunner

from service.app import create_app
from service.cli.commands import mount
from service.jobs import campaign_output
from service.settings import Settings
from tests.service.test_metadata_of_users import write_described_bundle
from tests.service.tiny import HISTORIES, ITEMS

RECSYS = typer.Typer()
mount(RECSYS)
POST = "/v1/recommendations"
DRAMA = {"op": "eq", "column": "genre", "value": "drama"}
BOUGHT = [("u0", "a", 2), ("u0", "b", 40), ("u1", "a", 3), ("u1", "d", 1)]
"""User, item, days before the last event."""
LAST = datetime(2024, 6, 30, tzinfo=UTC)


def write_dataset(folder: Path) -> Path:
    """The six users, two who are only described, and purchases of late, one of a pair that was viewed since."""
    folder.mkdir()
    rows = [(user, item, "view", 1.0, None, None) for user, items in HISTORIES.items() for item in items]
    names = ("user_id", "item_id", "event_type", "weight", "timestamp", "position")
    table = pl.DataFrame(rows, schema=dict.fromkeys(names, pl.String) | {"weight": pl.Float32}, orient="row")
    table = table.with_columns(
        pl.lit(LAST).cast(pl.Datetime("us", "UTC")).alias("timestamp"), pl.lit(None, pl.UInt32).alias("position")
    )
    table.write_parquet(folder / "interactions.parquet")
    repeats = pl.DataFrame({"user_id": [row[0] for row in BOUGHT], "item_id": [row[1] for row in BOUGHT]})
    days = pl.Series("days", [days for _, _, days in BOUGHT])
    repeats = repeats.with_columns(
        pl.lit("purchase").alias("event_type"),
        pl.lit(1.0, pl.Float32).alias("weight"),
        (pl.lit(LAST) - pl.duration(days=days)).cast(pl.Datetime("us", "UTC")).alias("timestamp"),
        pl.lit(None, pl.UInt32).alias("position"),
    )
    repeats.write_parquet(folder / "repeats.parquet")
    known = [*HISTORIES, "v8", "v9"]
    users = {"user_id": known, "country": ["NZ", "NZ", "NZ", "FR", "FR", "FR", "NZ", "FR"], "age": [*range(20, 28)]}
    pl.DataFrame(users).write_parquet(folder / "users.parquet")
    fields = [{"name": "country", "kind": "category"}, {"name": "age", "kind": "number"}]
    (folder / "fields.json").write_text(json.dumps({"users": fields, "items": []}))
    return folder


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("data") / "shop")


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_described_bundle(tmp_path_factory.mktemp("bundles") / "bundle")


def campaign(bundle: Path, dataset: Path, to: Path, *options: str, status: int = 0) -> str:
    """Run the command; what it said."""
    done = CliRunner().invoke(RECSYS, ["campaign", str(bundle), str(dataset), "--to", str(to), *options])
    assert done.exit_code == status, (done.output, done.exception)
    return done.output if done.exception is None or status == 0 else f"{done.output}{done.exception}"


def lists(to: Path) -> dict[str, list[tuple[Any, ...]]]:
    table = pl.read_parquet(to if to.is_file() else to / "*.parquet").sort("user_id", "rank")
    return {
        str(user): list(part.drop("user_id").iter_rows())
        for (user,), part in table.group_by("user_id", maintain_order=True)
    }


def asked_online(settings: Settings, bundle: Path, dataset: Path, body: dict) -> dict[str, list[tuple[Any, ...]]]:
    """What the endpoint answers for the same users."""
    users = pl.read_parquet(dataset / "users.parquet")
    found = {}
    with TestClient(create_app(settings.model_copy(update={"bundle": bundle}))) as client:
        for record in users.iter_rows(named=True):
            user = record.pop("user_id")
            answer = client.post(POST, json={"user_id": user, "metadata": record, **body}).json()
            found[user] = [
                (one["rank"], one["item_id"], pytest.approx(one["score"], rel=1e-5), answer["tier"], one["source"])
                for one in answer["items"]
            ]
    return {user: items for user, items in found.items() if items}


@pytest.mark.parametrize("histories", ["dataset", "store"])
@pytest.mark.parametrize(
    "body",
    [
        {},
        {"k": 8, "seen": "allow"},
        {"k": 8, "repeat": "only"},
        {"k": 3, "filter": DRAMA, "boost": [{"by": "add", "value": 0.5, "items": ["g"]}]},
        {"k": 4, "at_most": [{"column": "genre", "n": 1}], "exclude": ["h"]},
        {"k": 4, "at_most": [{"column": "genre", "n": 2}], "diversity": 0.7, "seen": "allow"},
    ],
)
def test_lists_are_those_of_the_endpoint(
    body: dict, histories: str, settings: Settings, bundle: Path, dataset: Path, tmp_path: Path
) -> None:
    request = tmp_path / "request.json"
    request.write_text(json.dumps(body))
    options = ["--request", str(request), "--histories", histories, "--store", settings.store_url]
    campaign(bundle, dataset, tmp_path / "lists.parquet", *options)
    found = lists(tmp_path / "lists.parquet")
    assert found
    assert found == asked_online(settings, bundle, dataset, body)


def test_what_was_bought_of_late_stays_away_and_what_was_seen_may_return(
    bundle: Path, dataset: Path, tmp_path: Path
) -> None:
    campaign(bundle, dataset, tmp_path / "a.parquet", "-k", "8", "--exclude-bought", "30")
    missing = {user: set(ITEMS) - {row[1] for row in rows} for user, rows in lists(tmp_path / "a.parquet").items()}
    assert {user: items for user, items in missing.items() if items} == {"u0": {"a"}, "u1": {"a", "d"}}
    early = ("--exclude-bought", "30:purchase", "--now", "2024-05-25")
    campaign(bundle, dataset, tmp_path / "b.parquet", "-k", "8", *early)
    assert {row[1] for row in lists(tmp_path / "b.parquet")["u0"]} == set(ITEMS) - {"b"}
    assert "view" in campaign(bundle, dataset, tmp_path / "c.parquet", "--exclude-bought", "30:order", status=1)


def test_dislikes_of_the_dataset_are_in_no_list(bundle: Path, tmp_path: Path) -> None:
    dataset = write_dataset(tmp_path / "shop")
    table = pl.read_parquet(dataset / "interactions.parquet")
    disliked = table.filter((pl.col("user_id") == "u0") & (pl.col("item_id") == "a"))
    disliked.with_columns(item_id=pl.lit("h")).write_parquet(dataset / "dislikes.parquet")
    campaign(bundle, dataset, tmp_path / "a.parquet", "-k", "8", "--repeat", "allow")
    found = lists(tmp_path / "a.parquet")
    assert sorted(row[1] for row in found["u0"]) == list("abcdefg")
    campaign(bundle, dataset, tmp_path / "b.parquet", "-k", "8", "--repeat", "only", "--exclude-bought", "30")
    assert {row[1] for row in lists(tmp_path / "b.parquet")["u0"]} == set(HISTORIES["u0"]) - {"a"}


def test_users_are_chosen_by_metadata_or_by_name(bundle: Path, dataset: Path, tmp_path: Path) -> None:
    to = tmp_path / "lists.parquet"
    campaign(bundle, dataset, to, "--where", "country=NZ", "--where", "age=21.0")
    assert list(lists(to)) == ["u1"]
    (tmp_path / "users.txt").write_text("user_id\nu3\n\nstranger\nu1\n")
    said = campaign(bundle, dataset, to, "--users", str(tmp_path / "users.txt"))
    assert list(lists(to)) == ["stranger", "u1", "u3"]
    assert "does not know 1 of the 3 users" in said
    assert "stranger" in said
    campaign(bundle, dataset, to, "--users", str(tmp_path / "users.txt"), "--where", "country=FR")
    assert list(lists(to)) == ["u3"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--where", "land=NZ"], "field of users named 'land'"),
        (["--where", "country"], "Write FIELD=VALUE"),
        (
            ["--keep-seen", "--repeat", "only"],
            "--repeat only does not",
        ),
        (["--exclude-bought", "30", "--repeat", "exclude"], "--repeat exclude does not"),
        (["--where", "country=DE"], "most frequent values are: FR, NZ"),
        (["--where", "age=old"], "holds numbers"),
        (["--where", "country=NZ", "--where", "age=23"], "nobody to recommend to"),
        (["--at-most", "brand"], "Write it as in 3:brand"),
        (["--at-most", "0:genre"], "with a number above 0"),
        (["--at-least", "2:genre~drama"], "Write N:GROUP"),
        (["--at-least", "2:brand=Own"], "no column 'brand'"),
        (["--at-least", "2:year=old"], "'old' does not fit"),
        (["--calibrate", "genre:2"], "Write COLUMN or COLUMN:STRENGTH"),
        (["--at-most", "2:brand"], "no column 'brand'"),
        (["-k", "0"], "body.k"),
        (["--exclude-bought", "week"], "Write DAYS"),
        (["--users", "nowhere.txt"], "no file nowhere.txt"),
    ],
)
def test_what_does_not_fit_is_said_before_anything_is_written(
    options: list[str], words: str, bundle: Path, dataset: Path, tmp_path: Path
) -> None:
    assert words in campaign(bundle, dataset, tmp_path / "lists", *options, status=1)
    assert not (tmp_path / "lists").exists()


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ('{"user_id": "u0"}', "names user_id"),
        ('{"k": 3}', "says k, and so do options"),
        ('{"filter": {"op": "like"}}', "body.filter"),
        ("[]", "expected a JSON object"),
        ("{", "no request in JSON"),
    ],
)
def test_a_request_that_does_not_fit_is_named(
    body: str, words: str, bundle: Path, dataset: Path, tmp_path: Path
) -> None:
    (tmp_path / "request.json").write_text(body)
    options = ("--request", str(tmp_path / "request.json"), "-k", "3")
    assert words in campaign(bundle, dataset, tmp_path / "lists", *options, status=1)


def test_options_of_rules_say_what_a_request_says(bundle: Path, dataset: Path, tmp_path: Path) -> None:
    body = {
        "k": 4,
        "quotas": [
            {"n": 2, "where": {"op": "eq", "column": "genre", "value": "comedy"}},
            {"n": 1, "where": {"op": "range", "column": "year", "min": 1996}},
            {"n": 1, "group": "long-tail"},
        ],
        "calibration": {"column": "genre", "strength": 0.3},
    }
    (tmp_path / "request.json").write_text(json.dumps(body))
    campaign(bundle, dataset, tmp_path / "asked.parquet", "--request", str(tmp_path / "request.json"))
    quotas = ["--at-least", "2:genre=comedy", "--at-least", "1:year>=1996", "--at-least", "1:long-tail"]
    campaign(bundle, dataset, tmp_path / "told.parquet", "-k", "4", *quotas, "--calibrate", "genre:0.3")
    campaign(bundle, dataset, tmp_path / "plain.parquet", "-k", "4")
    assert lists(tmp_path / "told.parquet") == lists(tmp_path / "asked.parquet")
    assert lists(tmp_path / "told.parquet") != lists(tmp_path / "plain.parquet")


def test_users_without_a_list_are_named(bundle: Path, dataset: Path, tmp_path: Path) -> None:
    (tmp_path / "request.json").write_text(json.dumps({"candidates": ["a"]}))
    said = campaign(bundle, dataset, tmp_path / "a.parquet", "--request", str(tmp_path / "request.json"))
    without = [user for user, items in HISTORIES.items() if "a" in items]
    assert f"{len(without)} of 8 users get no list, as no item is allowed: {', '.join(without)}" in said


class Killed(BaseException):
    """What nobody catches."""


def test_a_rerun_goes_on_and_lists_are_the_same_however_they_are_cut(
    bundle: Path, dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.jobs.campaign.BATCH", 2)
    whole, parts = tmp_path / "whole.parquet", tmp_path / "parts"
    campaign(bundle, dataset, whole, "-k", "4")

    def killed(folder: campaign_output.Folder, part: campaign_output.Part, table: Any) -> None:
        if part.number == 1:
            (folder.path / ".part-00001.parquet.0123abcd.partial").write_text("half of it")
            raise Killed
        original(folder, part, table)

    original = campaign_output.Folder.write
    with monkeypatch.context() as patched:
        patched.setattr(campaign_output.Folder, "write", killed)
        with pytest.raises(Killed):
            CliRunner().invoke(
                RECSYS, ["campaign", str(bundle), str(dataset), "--to", str(parts), "-k", "4", "--shards", "4"]
            )
    first = (parts / "part-00000.parquet").stat().st_mtime_ns
    said = campaign(bundle, dataset, parts, "-k", "4", "--shards", "4")
    assert "2 of 8 users have their lists already" in said
    assert (parts / "part-00000.parquet").stat().st_mtime_ns == first
    assert sorted(path.name for path in parts.iterdir()) == [
        "live-items.ndjson", "manifest.json", *(f"part-0000{number}.parquet" for number in range(4))
    ]  # fmt: skip
    by_user = ("user_id", "rank")
    assert_frame_equal(pl.read_parquet(parts / "*.parquet").sort(by_user), pl.read_parquet(whole).sort(by_user))
    assert "8 of 8 users have their lists already" in campaign(bundle, dataset, parts, "-k", "4", "--shards", "4")
    assert "another campaign; what differs: request, users_a_part. Repeat" in campaign(
        bundle, dataset, parts, "-k", "5", status=1
    )


def test_what_is_somebody_elses_stays(bundle: Path, dataset: Path, tmp_path: Path) -> None:
    (tmp_path / "lists").mkdir()
    (tmp_path / "lists" / "letter.txt").write_text("dear")
    assert "is left as it is" in campaign(bundle, dataset, tmp_path / "lists", status=1)
    (tmp_path / "lists.parquet").write_text("dear")
    assert "is left as it is" in campaign(bundle, dataset, tmp_path / "lists.parquet", status=1)
