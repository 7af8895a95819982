import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from fastapi.testclient import TestClient

from recsys_vae.bundles.bundle import Bundle
from recsys_vae.data.features import Field, Schema
from recsys_vae.errors import DataError
from recsys_vae.recommender import FallbackChain
from service.app import create_app
from service.client.client import Client
from service.jobs.parity import ANOTHER_HISTORY, Person, Ranking, choose_people, compare, difference, rankings
from service.schemas.recommendations import RecommendedItem
from service.settings import Settings
from service.store.user_history import UserEvents
from tests.service.test_metadata_of_users import write_described_bundle
from tests.service.test_serve import check_one_error_line, home, recsys, serving  # noqa: F401
from tests.service.tiny import HISTORIES, write_tiny_bundle


def did(*item_ids: str) -> UserEvents:
    """Events of a dataset that say no more than that."""
    unknown, n = (None,) * len(item_ids), len(item_ids)
    return UserEvents(item_ids, unknown, (1.0,) * n, unknown, (True,) * n)


PEOPLE = [Person(user, did(*item_ids)) for user, item_ids in HISTORIES.items()]
RANKING = Ranking(tuple("abcdef"), np.array([5.0, 4.0, 4.0, 3.0, 3.0, 1.0], dtype=np.float32))


def served(items: str, scores: list[float]) -> list[RecommendedItem]:
    return [
        RecommendedItem(rank=rank, item_id=item_id, score=score, source="history")
        for rank, (item_id, score) in enumerate(zip(items, scores, strict=True), start=1)
    ]


@pytest.mark.parametrize("stored", [False, True])
@pytest.mark.parametrize("model", ["popularity", "ease", "mult-vae"])
def test_a_service_agrees_with_its_own_bundle(model: str, stored: bool, settings: Settings, tmp_path: Path) -> None:
    path = write_tiny_bundle(tmp_path / model, model)
    with TestClient(create_app(settings.model_copy(update={"bundle": path}))) as http:
        verdicts = list(compare(Client(http=http), Bundle.load(path), PEOPLE, 3, stored=stored))
    assert [verdict.user_id for verdict in verdicts] == list(HISTORIES)
    assert [verdict.difference for verdict in verdicts] == [None] * len(PEOPLE)


@pytest.mark.parametrize("stored", [False, True])
def test_metadata_count_on_both_sides(stored: bool, settings: Settings, tmp_path: Path) -> None:
    path = write_described_bundle(tmp_path / "bundle")
    told = [replace(who, metadata={"country": "NZ", "age": 21}) for who in PEOPLE]
    bundle = Bundle.load(path)
    with TestClient(create_app(settings.model_copy(update={"bundle": path}))) as http:
        verdicts = list(compare(Client(http=http), bundle, told, 3, stored=stored))
    assert [verdict.difference for verdict in verdicts] == [None] * len(PEOPLE)
    chain, histories = FallbackChain(bundle), [dict.fromkeys(ids, 1.0) for ids in HISTORIES.values()]
    known = rankings(chain, histories, 3, [who.metadata for who in told])
    assert any(
        with_them.scores.tolist() != without.scores.tolist()
        for with_them, without in zip(known, rankings(chain, histories, 3), strict=True)
    )


def test_a_dataset_tells_what_the_bundle_has_fields_for_as_a_request_carries_it(tmp_path: Path) -> None:
    log = pl.DataFrame({"user_id": ["x", "y"], "item_id": ["a", "b"]})
    columns = {"event_type": None, "weight": 1.0, "timestamp": None, "position": None}
    log = log.with_columns(**{name: pl.lit(value) for name, value in columns.items()})
    log.write_parquet(tmp_path / "interactions.parquet")
    users = pl.DataFrame(
        {"user_id": ["x", "z"], "age": [30, 5], "tags": [["p", "q"], []], "about": ["w" * 600, ""], "shoe": [4, 5]}
    )
    users.write_parquet(tmp_path / "users.parquet")
    fields = [Field("age", "number"), Field("tags", "set"), Field("about", "text"), Field("gone", "text")]
    schema = Schema.learn(fields, [{"age": 30, "tags": ["p"], "about": "w"}])
    x, y = choose_people(str(tmp_path), 10, 0, schema)
    assert x.metadata == {"age": 30, "tags": "p|q"}  # about is longer than a request may be
    assert y.metadata == {}
    assert [person.metadata for person in choose_people(str(tmp_path), 10, 0)] == [{}, {}]


def test_a_store_that_lacks_events_differs(bundle_path: Path, tmp_path: Path) -> None:
    settings = Settings(bundle=bundle_path, store=f"sqlite:///{tmp_path}/empty.db")
    with TestClient(create_app(settings)) as http:
        verdicts = list(compare(Client(http=http), Bundle.load(bundle_path), PEOPLE, 3, stored=True))
    assert all(ANOTHER_HISTORY in str(verdict.difference) for verdict in verdicts)


def test_another_bundle_is_refused(client: TestClient, tmp_path: Path) -> None:
    other = Bundle.load(write_tiny_bundle(tmp_path / "other", "popularity"))
    with pytest.raises(DataError, match="Name the bundle that is in service"):
        list(compare(Client(http=client), other, PEOPLE, 3, stored=False))


@pytest.mark.parametrize(
    ("items", "scores"),
    [
        ("abc", [5.0, 4.0, 4.0]),
        ("acb", [5.0, 4.0, 4.0]),  # equal scores swapped
        ("abc", [5.00004, 4.00004, 3.99996]),
        ("abce", [5.0, 4.0, 4.0, 3.0]),  # the equal one beyond the border
    ],
)
def test_rounding_is_no_difference(items: str, scores: list[float]) -> None:
    assert difference(served(items, scores), RANKING, len(items)) is None


@pytest.mark.parametrize(
    ("items", "scores", "words"),
    [
        ("ab", [5.0, 4.0], "2 items, expected 3"),
        ("aab", [5.0, 5.0, 4.0], "stands there twice"),
        ("bac", [4.0, 5.0, 4.0], "rank 1 holds 'b', offline score 4; expected a score of 5"),
        ("abd", [5.0, 4.0, 3.0], "rank 3 holds 'd', offline score 3; expected a score of 4"),
        ("abz", [5.0, 4.0, 4.0], "rank 3 holds 'z', offline not near the list"),
        ("abc", [5.0, 4.0, 4.001], "item 'c' has score 4.001, offline 4"),
    ],
)
def test_what_differs_is_told(items: str, scores: list[float], words: str) -> None:
    assert words in str(difference(served(items, scores), RANKING, 3))


def test_a_list_of_all_there_is_may_be_shorter_than_k() -> None:
    assert difference(served("abcdef", RANKING.scores.tolist()), RANKING, 20) is None


def test_offline_lists_hold_nothing_seen(chain: FallbackChain) -> None:
    lists = rankings(chain, [dict.fromkeys(ids, 1.0) for ids in HISTORIES.values()], 3)
    for person, ranking in zip(PEOPLE, lists, strict=True):
        assert sorted([*ranking.item_ids, *person.events.item_ids]) == list("abcdefgh")


def test_people_are_drawn_once_each_and_those_with_endless_histories_left_out(tmp_path: Path) -> None:
    endless = [("much", f"i{number}") for number in range(10_001)]
    rows = [("x", "a"), ("x", "b"), ("x", "a"), ("y", "c"), *endless]
    frame = pl.DataFrame(rows, schema={"user_id": pl.String, "item_id": pl.String}, orient="row")
    columns = {"event_type": None, "weight": 1.0, "timestamp": None, "position": None}
    frame.with_columns(**{name: pl.lit(value) for name, value in columns.items()}).write_parquet(
        tmp_path / "interactions.parquet"
    )
    assert choose_people(str(tmp_path), 10, 0) == [Person("x", did("a", "b", "a")), Person("y", did("c"))]
    assert len(choose_people(str(tmp_path), 1, 0)) == 1


def test_the_command_tells_how_many_agree(home: Path, bundle_path: Path) -> None:  # noqa: F811
    with serving(home, bundle_path) as (_, url):
        options = ("--bundle", str(bundle_path), "--histories", "tiny", "-k", "3")
        agreed = recsys(home, "parity", url, *options)
        assert (agreed.returncode, agreed.stderr) == (0, "")
        assert re.fullmatch(r"6 of 6 users agree in 3 places with ease-\w+\.\n", agreed.stdout)
        differed = recsys(home, "parity", url, *options, "--stored")  # no history was loaded
        assert differed.returncode == 1
        assert "0 of 6 users agree" in differed.stdout
        assert differed.stderr.count("differs  u") == 6
