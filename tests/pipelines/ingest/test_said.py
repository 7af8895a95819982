from pathlib import Path

import pytest

from pipelines.ingest.said import (
    Said,
    names,
    parse_prefixes,
    split_column_option,
    split_event_option,
    split_plain_option,
)
from recsys_vae.errors import ConfigError

CLICKS, BUYS = Path("logs/clicks-1.csv"), Path("logs/kind=buy/part-0.csv")


def test_a_glob_names_a_file_by_its_name_and_the_last_folders_before_it():
    assert names(None, CLICKS)
    assert all(names(glob, CLICKS) for glob in ("clicks-1.csv", "clicks-*.csv", "logs/clicks*", "logs/clicks-1.csv"))
    assert names("kind=buy/*", BUYS)
    assert not any(names(glob, CLICKS) for glob in ("clicks", "licks-1.csv", "buys*", "kind=buy/*"))


def test_what_is_said_of_a_file_rules_over_what_is_said_of_all():
    said = Said(
        maps=tuple(map(split_column_option, ["item_id=id", "clicks-*.csv:item_id=sku", "user_id=who"])),
        encodings=tuple(map(split_plain_option, ["utf-8", "clicks-*.csv:latin-1"])),
        prefixes=parse_prefixes(["user_id=x-", "clicks-1.csv:item_id=c:"]),
    )
    assert dict(said.mapping_of(CLICKS).pairs) == {"item_id": "sku", "user_id": "who"}
    assert dict(said.mapping_of(BUYS).pairs) == {"item_id": "id", "user_id": "who"}
    assert (said.of(CLICKS).encoding, said.of(BUYS).encoding) == ("latin-1", "utf-8")
    assert said.of_metadata(Path("items.csv")).encoding is None
    assert said.prefixes_of(CLICKS) == {"user_id": "x-", "item_id": "c:"}
    said.check([CLICKS, BUYS])
    with pytest.raises(ConfigError, match=r"'clicks-\*.csv' names none of the files: part-0.csv"):
        said.check([BUYS])


def test_event_types_may_hold_colons():
    assert split_event_option("page:view", [CLICKS]) == (None, "page:view")
    assert split_event_option("clicks-*.csv:page:view", [CLICKS]) == ("clicks-*.csv", "page:view")
    assert split_event_option("clicks-*.csv:view", [CLICKS]) == ("clicks-*.csv", "view")
    assert split_event_option("*", [CLICKS]) == (None, "*")


@pytest.mark.parametrize("option", ["user_id", "user=x", "user_id=", "a.csv:weight=x"])
def test_a_prefix_is_of_users_or_items(option):
    with pytest.raises(ConfigError, match="--id-prefix takes user_id=TEXT"):
        parse_prefixes([option])
