from datetime import UTC, datetime
from pathlib import Path

import pytest

from pipelines.dataset.directory import DatasetDir
from pipelines.ingest.cleaning import CleaningRules, Rule
from pipelines.ingest.explain import IN_WORDS, Entity, explain
from pipelines.ingest.ingest import ingest
from pipelines.ingest.log_sources import Source


@pytest.fixture
def dataset(tmp_path: Path) -> DatasetDir:
    (tmp_path / "log.csv").write_text("user_id,item_id,weight\na,1,5\na,2,4\na,1,4\nb,1,1\nb,2,5\nb,,5\n")
    (tmp_path / "items.csv").write_text("item_id\n1\n7\n")
    dataset = DatasetDir(tmp_path / "shop")
    source = Source((tmp_path / "log.csv",), items=tmp_path / "items.csv")
    ingest(source, dataset, CleaningRules(min_rating=4, min_user=2))
    return dataset


def test_a_missing_user_is_explained_rule_by_rule(dataset):
    assert explain(dataset, Entity.USER, "b").lines() == [
        "User 'b' in dataset 'shop': missing.",
        "3 rows name it in the logs.",
        "  1 lost: weight below 4 (--min-rating)",
        "  1 lost: a user with fewer than 2 items left (--min-user)",
        "  1 in quarantine: item_id is missing",
    ]


def test_a_user_who_is_there_is_accounted_for_too(dataset):
    found = explain(dataset, Entity.USER, "a")
    assert (found.kept, found.rows_in) == (2, 3)
    assert found.lines()[0] == "User 'a' in dataset 'shop': with 2 interactions."


def test_an_item_that_only_its_metadata_names(dataset):
    assert explain(dataset, Entity.ITEM, "7").lines() == [
        "Item '7' in dataset 'shop': missing.",
        "No row of the logs names it.",
        "The metadata table has it.",
    ]


def test_every_rule_has_words():
    now = datetime(2024, 1, 1, tzinfo=UTC)
    rules = CleaningRules(min_rating=4, since=now, until=now.replace(year=2025))
    assert all(IN_WORDS[rule](rules) for rule in Rule)
