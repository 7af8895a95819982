"""What speaks against an item: taken out of the interactions by name, kept beside them; solved by hand."""

from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from pipelines.dataset.directory import DatasetDir
from pipelines.ingest.cleaning import CleaningRules, Keep, Rule
from pipelines.ingest.explain import IN_WORDS, Entity, explain
from pipelines.ingest.ingest import ingest
from pipelines.ingest.log_files import ColumnMap
from pipelines.ingest.log_sources import Source
from pipelines.ingest.summary import IngestSummary
from recsys_vae.data.signals import SignalRules
from recsys_vae.errors import ConfigError, EmptyDataError

LOG = """user_id,item_id,event_type,weight,timestamp
u,a,buy,1,10
u,a,hide,1,20
u,b,hide,1,10
u,b,buy,1,20
u,c,view,1,10
u,c,view,1,15
u,d,hide,1,30
u,d,hide,2,40
v,a,view,1,10
w,e,hide,1,5
v,x,stare,1,11
"""
RULES = CleaningRules(event_weights=(("buy", 5.0), ("view", 1.0)), dislikes=("hide",))


def made(tmp_path: Path, text: str, rules: CleaningRules, *, given: str = "") -> tuple[DatasetDir, IngestSummary]:
    tmp_path.mkdir(exist_ok=True)
    log, test = tmp_path / "log.csv", tmp_path / "test.csv"
    log.write_text(text)
    test.write_text(given)
    dataset = DatasetDir(tmp_path / "data")
    found = ingest(Source((log,), ColumnMap(), given_test=(test,) if given else ()), dataset, rules)
    return dataset, found


def pairs(frame: pl.LazyFrame | None) -> dict[tuple[str, str], float]:
    assert frame is not None
    rows = frame.select("user_id", "item_id", "weight").collect().rows()
    return {(user, item): weight for user, item, weight in rows}


def test_kinds_that_no_event_has_are_told_with_those_that_occur(tmp_path: Path) -> None:
    assert made(tmp_path / "a", LOG, RULES)[1].warnings == ()
    for rules, warning in (
        (replace(RULES, dislikes=("hide", "retuned")), "--dislike: no row is of the kind retuned; the kinds are: "),
        (replace(RULES, event_weights=(("by", 5.0), ("view", 1.0))), "--event-weight: no row is of the kind by; "),
    ):
        _, summary = made(tmp_path / warning[2:7], LOG, rules)
        (told,) = summary.warnings
        assert told.startswith(warning)
        assert "buy, hide, stare, view." in told  # also those in quarantine
        assert summary.said()[-1] == f"warning: {told}"
    with pytest.raises(EmptyDataError, match="no row is of the kind by; the kinds are: buy, "):
        made(tmp_path / "none", LOG, CleaningRules(event_weights=(("by", 5.0),)))


def test_the_latest_event_decides_and_every_row_is_accounted_for(tmp_path: Path) -> None:
    dataset, summary = made(tmp_path, LOG, RULES)
    assert pairs(dataset.interactions()) == {("u", "b"): 5.0, ("u", "c"): 1.0, ("v", "a"): 1.0}
    assert pairs(dataset.dislikes()) == {("u", "a"): 1.0, ("u", "d"): 2.0, ("w", "e"): 1.0}
    lost = {count.name: count.rows for count in summary.lost}
    assert lost == {"dislike": 4, "liked_later": 1, "disliked_later": 1, "duplicate": 1}
    assert sum(lost.values()) + summary.kept.interactions + 1 == summary.rows_in == 11
    assert [count.name for count in summary.quarantined] == ["event_type has no weight"]
    assert summary.kept.dislikes == 3
    assert summary.kept.users == 2


def test_every_rule_that_took_a_row_is_explained(tmp_path: Path) -> None:
    dataset, _ = made(tmp_path, LOG, RULES)
    found = explain(dataset, Entity.USER, "u")
    assert (found.kept, found.rows_in) == (2, 8)
    assert [count.name.split()[:2] for count in found.lost] == [
        ["against", "an"], ["against", "an"], ["for", "an"], ["the", "same"],
    ]  # fmt: skip
    assert set(IN_WORDS) == set(Rule)


def test_events_keep_what_spoke_for_and_against(tmp_path: Path) -> None:
    dataset, _ = made(tmp_path, LOG, RULES)
    columns = ("user_id", "item_id", "weight")
    assert sorted(dataset.events().select(columns).collect().rows()) == [
        ("u", "b", 5.0), ("u", "c", 1.0), ("u", "c", 1.0), ("v", "a", 1.0),
    ]  # fmt: skip
    assert sorted(dataset.signed_events().select(columns).collect().rows()) == [
        ("u", "a", -1.0), ("u", "a", 5.0), ("u", "b", -1.0), ("u", "b", 5.0), ("u", "c", 1.0), ("u", "c", 1.0),
        ("u", "d", -2.0), ("u", "d", -1.0), ("v", "a", 1.0), ("w", "e", -1.0),
    ]  # fmt: skip


def test_the_dataset_says_its_rules(tmp_path: Path) -> None:
    rules = CleaningRules(event_weights=(("buy", 5.0),), dislikes=("hide",), dislike_below=0.5, keep=Keep.SUM)
    dataset, _ = made(tmp_path, LOG, rules)
    assert dataset.signals() == SignalRules(
        dislikes=("hide",), dislike_below=0.5, event_weights=(("buy", 5.0),), keep="sum"
    )
    assert DatasetDir(tmp_path / "none").signals() == SignalRules()


@pytest.mark.parametrize(("keep", "weight"), [(Keep.LAST, 2.0), (Keep.FIRST, 1.0), (Keep.MAX, 2.0), (Keep.SUM, 3.0)])
def test_one_dislike_stands_for_a_pair_by_the_rule_of_keep(tmp_path: Path, keep: Keep, weight: float) -> None:
    dataset, _ = made(tmp_path, LOG, CleaningRules(dislikes=("hide",), keep=keep))
    assert pairs(dataset.dislikes())["u", "d"] == weight


def test_ratings_below_a_bound_are_dislikes_and_those_up_to_the_least_rating_are_lost(tmp_path: Path) -> None:
    log = "user_id,item_id,rating\n" + "".join(f"u,i{rating},{rating}\n" for rating in range(1, 6))
    dataset, summary = made(tmp_path, log, CleaningRules(dislike_below=3, min_rating=4))
    assert pairs(dataset.interactions()) == {("u", "i4"): 4.0, ("u", "i5"): 5.0}
    assert pairs(dataset.dislikes()) == {("u", "i1"): 1.0, ("u", "i2"): 2.0}
    assert {count.name: count.rows for count in summary.lost} == {"min_rating": 1, "dislike": 2}


def test_the_core_is_of_what_is_liked(tmp_path: Path) -> None:
    log = "user_id,item_id,rating\nu,a,5\nu,b,5\nv,a,5\nv,b,5\nw,a,5\nw,b,1\n"
    dataset, summary = made(tmp_path, log, CleaningRules(dislike_below=3, min_user=2))
    assert set(pairs(dataset.interactions())) == {("u", "a"), ("u", "b"), ("v", "a"), ("v", "b")}
    assert set(pairs(dataset.dislikes())) == {("w", "b")}
    assert {count.name: count.rows for count in summary.lost} == {"dislike": 1, "min_user": 1}


def test_what_is_disliked_in_the_published_test_part_is_not_known_before(tmp_path: Path) -> None:
    log = "user_id,item_id,rating\nu,a,5\nu,b,1\nv,c,5\n"
    dataset, summary = made(
        tmp_path, log, CleaningRules(dislike_below=3), given="user_id,item_id,rating\nu,a,1\nu,c,4\n"
    )
    assert set(pairs(dataset.interactions())) == {("u", "a"), ("u", "c"), ("v", "c")}
    assert set(pairs(dataset.dislikes())) == {("u", "b")}
    assert dataset.table(dataset.given_test_path).collect().rows() == [("u", "c")]
    assert summary.kept.given_test == 1


def test_returns_and_dislikes_do_not_mix() -> None:
    with pytest.raises(ConfigError, match="cannot be both"):
        CleaningRules(returns=True, dislikes=("hide",))
    with pytest.raises(ConfigError, match="takes a number"):
        CleaningRules(dislike_below=float("nan"))


@pytest.mark.parametrize(
    ("rules", "option"), [(CleaningRules(dislikes=("hide",)), "--dislike "), (CleaningRules(dislike_below=1), "below")]
)
def test_a_rule_needs_its_column(tmp_path: Path, rules: CleaningRules, option: str) -> None:
    with pytest.raises(ConfigError, match=option):
        made(tmp_path, "user_id,item_id\nu,a\n", rules)
