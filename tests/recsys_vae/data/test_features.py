import json
import math

import numpy as np
import pytest

from recsys_vae.data.features import Field, Schema, check_metadata
from recsys_vae.errors import ConfigError, DataError, UnknownNameError

FIELDS = (Field("country", "category"), Field("likes", "set"), Field("age", "number"))
RECORDS = [
    {"country": "NZ", "likes": "jazz|rock", "age": 20},
    {"country": "FR", "likes": ["rock"], "age": 40},
    {"country": None, "likes": None, "age": None},
]
SCHEMA = Schema.learn(FIELDS, RECORDS)


def test_each_kind_of_field_has_its_columns() -> None:
    # FR, NZ | jazz, rock | the number (mean 30, deviation 10) and that it is known
    assert SCHEMA.widths == (2, 2, 2)
    assert SCHEMA.encode(RECORDS).toarray().tolist() == [
        [0, 1, 0.5, 0.5, -1, 1],
        [1, 0, 0, 1, 1, 1],
        [0, 0, 0, 0, 0, 0],
    ]


def test_what_is_unseen_or_unreadable_is_as_what_is_missing() -> None:
    odd = [{"country": "Atlantis", "likes": [], "age": "old"}, {}, {"age": float("nan"), "country": ""}]
    assert SCHEMA.encode(odd).nnz == 0


def test_a_set_shares_its_weight_among_the_values_that_are_known() -> None:
    assert SCHEMA.encode([{"likes": "rock|rock|polka"}]).toarray()[0].tolist() == [0, 0, 0, 1, 0, 0]


def test_numbers_far_away_are_held() -> None:
    assert SCHEMA.encode([{"age": 1e9}]).toarray()[0, 4] == 5


@pytest.mark.parametrize("written", [25, 25.0, "25", " 25 "])
def test_a_category_is_the_same_however_it_is_written(written: object) -> None:
    schema = Schema.learn([Field("age", "category")], [{"age": 25}, {"age": 35}])
    assert schema.encode([{"age": written}]).toarray()[0].tolist() == [1, 0]


def test_words_that_few_have_weigh_more() -> None:
    titles = [{"title": "The Piano (1993)"}, {"title": "The Fugitive (1993)"}, {"title": None}]
    schema = Schema.learn([Field("title", "text")], titles)
    assert schema.blocks[0].values == ("1993", "fugitive", "piano", "the")
    common, rare = 1 + math.log(4 / 3), 1 + math.log(4 / 2)
    length = math.sqrt(2 * common**2 + rare**2)
    expected = [[common / length, 0, rare / length, common / length], [0, 0, 0, 0]]
    assert schema.encode([titles[0], titles[2]]).toarray() == pytest.approx(np.array(expected), rel=1e-6)
    assert Schema.from_json(schema.to_json()) == schema


def test_misfits_are_named() -> None:
    assert SCHEMA.misfits({"shoe": 43, "country": "Atlantis", "age": 30, "likes": None}) == (["shoe"], ["country"])


def test_a_schema_survives_its_file() -> None:
    assert Schema.from_json(SCHEMA.to_json()) == SCHEMA
    with pytest.raises(DataError, match="not the schema"):
        Schema.from_json("[]")
    written = json.loads(SCHEMA.to_json())
    blocks = [written["blocks"][0] | {"kind": "colour"}, written["blocks"][0] | {"shade": 3}]
    for content in ({"blocks": blocks[:1]}, {"blocks": blocks[1:]}, written | {"shade": 3}):
        with pytest.raises(UnknownNameError, match=r"'(colour|shade)'"):
            Schema.from_json(json.dumps(content))


def test_only_the_most_frequent_values_get_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("recsys_vae.data.features.MOST_VALUES", 1)
    schema = Schema.learn([Field("country", "category")], [{"country": c} for c in ("NZ", "FR", "NZ")])
    assert schema.blocks[0].values == ("NZ",)


def test_fields_that_make_no_sense_are_refused() -> None:
    with pytest.raises(ConfigError, match="expected one of category, set, text, number"):
        Field.parse("age:colour")
    with pytest.raises(ConfigError, match="NAME:KIND"):
        Field.parse("age")
    with pytest.raises(ConfigError, match="once"):
        Schema.learn([Field("age", "number"), Field("age", "category")], [])


def test_rows_of_another_schema_are_refused() -> None:
    with pytest.raises(DataError, match=r"expected \(2, 6\)"):
        check_metadata(SCHEMA.encode([{}]), 2, 6)
    with pytest.raises(DataError, match="float32"):
        check_metadata(SCHEMA.encode([{}]).astype(np.float64), 1, 6)
