import polars as pl
import pytest

from pipelines.dataset.matrices import encode, encode_events, encode_pairs, fingerprint
from recsys_vae.data.ids import IdMap
from recsys_vae.errors import DataError, EmptyDataError
from tests.pipelines.logs_of_tastes import frame

LOG = pl.LazyFrame(
    {"user_id": ["b", "a", "b", "é", "a"], "item_id": ["10", "9", "9", "10", "9"], "weight": [2.0, 1.0, None, 3.0, 4.0]}
)


def test_rows_and_columns_are_in_byte_order_and_repeats_add_up() -> None:
    found = encode(LOG)
    assert found.users.values.to_list() == ["a", "b", "é"]
    assert found.items.values.to_list() == ["10", "9"]
    assert found.matrix.toarray().tolist() == [[0, 5], [2, 1], [3, 0]]


def test_binarised_weights_are_one() -> None:
    assert encode(LOG, binarised=True).matrix.toarray().tolist() == [[0, 1], [1, 1], [1, 0]]


def test_given_maps_leave_others_out() -> None:
    found = encode(LOG.drop("weight"), users=IdMap.from_values("abz"), items=IdMap.from_values(["9"]))
    assert found.matrix.toarray().tolist() == [[2], [1], [0]]


def test_the_order_of_the_log_does_not_matter() -> None:
    assert encode(LOG).fingerprint() == encode(LOG.reverse()).fingerprint()


def test_an_empty_log_is_an_error() -> None:
    with pytest.raises(EmptyDataError):
        encode(LOG.clear())


def test_pairs_of_unknown_ids_are_counted() -> None:
    pairs = pl.LazyFrame({"user_id": ["a", "a", "zoe", "b"], "item_id": ["9", "9", "9", "7"]})
    found, unknown = encode_pairs(pairs, IdMap.from_values("ab"), IdMap.from_values(["10", "9"]))
    assert found.toarray().tolist() == [[0, 1], [0, 0]]
    assert unknown == 2


def test_moments_are_microseconds() -> None:
    events = encode_events(frame().lazy(), global_order=True)
    assert events.order.min() == 1_704_067_200_000_000


def test_a_cut_in_time_says_how_many_rows_have_no_time() -> None:
    some = frame().with_columns(timestamp=pl.when(pl.col("user_id") == "u001").then(None).otherwise("timestamp"))
    with pytest.raises(DataError, match="4 of 240 rows are of pairs without one"):
        encode_events(some.lazy(), global_order=True)


def test_order_within_users_may_come_from_positions_alone() -> None:
    log = frame().with_columns(timestamp=None, position=pl.int_range(pl.len()).over("user_id").cast(pl.UInt32))
    log = log.cast({"timestamp": pl.Datetime("us", "UTC")})
    assert set(encode_events(log.lazy(), global_order=False).order) == {0, 1, 2, 3}
    with pytest.raises(DataError, match="240 no position"):
        encode_events(log.with_columns(position=pl.lit(None, pl.UInt32)).lazy(), global_order=False)


def test_positions_order_events_of_one_moment() -> None:
    at = pl.lit(1_000).cast(pl.Datetime("us", "UTC"))
    log = frame(2).with_columns(timestamp=at, position=pl.int_range(pl.len(), dtype=pl.UInt32).reverse())
    assert encode_events(log.lazy(), global_order=False).order.tolist() == [8, 7, 6, 5, 4, 3, 2, 1]


def test_the_fingerprint_is_of_the_values() -> None:
    log = frame()
    assert fingerprint(log.lazy()) == fingerprint(log.rechunk().lazy())
    parts = pl.concat([log.head(7).lazy(), log.slice(7).lazy()])
    assert fingerprint(log.lazy()) == fingerprint(parts)
    for changed in (
        log.with_columns(weight=pl.col("weight") * 2),
        log.with_columns(timestamp=pl.col("timestamp").dt.offset_by("1us")),
        log.with_columns(position=pl.lit(0, pl.UInt32)),
        log.with_columns(item_id=pl.col("item_id").str.replace("i", "j")),
        log.head(-1),
    ):
        assert fingerprint(log.lazy()) != fingerprint(changed.lazy())
