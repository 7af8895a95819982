import random

import polars as pl
import pytest

from pipelines.ingest.id_codes import LARGEST, IdCodes


@pytest.fixture(params=["0", "1"])
def codes(request, monkeypatch) -> IdCodes:
    monkeypatch.setenv("RECSYS_NATIVE", request.param)
    return IdCodes()


def test_numbers_and_their_texts_are_one_id(codes):
    first = codes.encode(pl.Series([7, 5, 7], dtype=pl.Int64))
    assert (first[0] == first[2], len(codes)) == (True, 2)
    second = codes.encode(pl.Series(["5", "é", None, "07"]))
    third = codes.encode(pl.Series([5, 2000, -1, LARGEST], dtype=pl.Int64))
    assert codes.encode(pl.Series([2000, 5], dtype=pl.Int64)).to_list() == [third[1], third[0]]
    assert (second[0], second[2], third[0]) == (first[1], None, first[1])
    texts, places = codes.settle()
    assert texts.to_list() == sorted(["7", "5", "é", "07", "2000", "-1", str(LARGEST)])
    assert [texts[int(places[code])] for code in (*first, second[1], third[2])] == ["7", "5", "7", "é", "-1"]


def test_numbers_alone_settle_in_the_order_of_their_texts(codes):
    found = codes.encode(pl.Series([9, 10, 0], dtype=pl.Int64))
    texts, places = codes.settle()
    assert texts.to_list() == ["0", "10", "9"]
    assert places[found.to_numpy()].tolist() == [2, 1, 0]
    assert codes.texts(1).to_list() == codes.texts().to_list()[1:]


def test_numbers_settle_as_their_texts_do(codes):
    numbers = [0, 1, 9, 10, 11, 99, 100, 101, 110, 12345, 9_999_999, 10_000_000, LARGEST - 1]
    found = codes.encode(pl.Series(numbers[::-1], dtype=pl.Int64))
    texts, places = codes.settle()
    assert texts.to_list() == sorted(map(str, numbers))
    assert texts.gather(places[found.to_numpy()]).to_list() == list(map(str, reversed(numbers)))


@pytest.mark.parametrize("largest", [0, 8, 9, 10, 105, 1234, 10_007, 99_999])
@pytest.mark.parametrize("missing", [0, 0.6])
def test_dense_numbers_settle_as_their_texts_do(codes, largest, missing):
    chance = random.Random(largest)
    numbers = [largest, *(one for one in range(largest) if chance.random() >= missing)]
    chance.shuffle(numbers)
    found = codes.encode(pl.Series(numbers, dtype=pl.Int64))
    texts, places = codes.settle()
    assert texts.to_list() == sorted(map(str, numbers))
    assert texts.gather(places[found.to_numpy()]).to_list() == list(map(str, numbers))


def test_no_ids_at_all(codes):
    assert codes.encode(pl.Series([None], dtype=pl.String)).to_list() == [None]
    assert codes.settle()[0].to_list() == []


TEXTS, NUMBERS = pl.Series(["b", "7", "é", "b"]), pl.Series([9, 7, 4, 9], dtype=pl.Int64)


@pytest.mark.parametrize("logs", [(NUMBERS, NUMBERS + 2), (TEXTS, NUMBERS), (NUMBERS, TEXTS), (TEXTS, TEXTS.reverse())])
def test_what_others_have_met_is_numbered_as_one_reading_would(codes, logs):
    one = IdCodes()
    wanted = [one.encode(ids).to_list() for ids in logs]
    met, found = codes.met, []
    for ids in logs:
        own = IdCodes(met)
        numbers = own.encode(ids).to_numpy()
        found.append(codes.join(own.all_met(), own.met, have_prefixes=own.has_prefixes)[numbers].tolist())
        met = codes.met
    assert found == wanted
    assert codes.texts().to_list() == one.texts().to_list()
    assert codes.met == one.met


def test_ids_with_prefixes_stay_apart_when_they_are_joined(codes):
    own = IdCodes()
    own.encode(pl.Series(["1"]), "a-")
    codes.join(own.all_met(), own.met, have_prefixes=own.has_prefixes)
    codes.encode(pl.Series(["1"]))
    assert codes.settle()[0].to_list() == ["1", "a-1"]
