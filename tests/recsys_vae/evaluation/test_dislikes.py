"""Dislikes in an evaluation: hidden from lists, shown to models that take them, counted where they come later."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from scipy.sparse import csr_array

from recsys_vae.data.ids import IdMap
from recsys_vae.errors import ConfigError, DataError
from recsys_vae.evaluation.evaluate import evaluate
from recsys_vae.evaluation.ordered_splits import Events, last_out, temporal
from recsys_vae.evaluation.splits import HeldOut
from recsys_vae.protocols import Float32Array


def matrix(rows: list[list[float]]) -> csr_array:
    return csr_array(np.array(rows, dtype=np.float32))


PART = HeldOut(
    IdMap(pl.Series("id", ["u", "v"])),
    histories=matrix([[0, 0, 0, 1], [0, 0, 0, 1]]),
    targets=matrix([[0, 1, 0, 0], [0, 0, 1, 0]]),
    dislikes=matrix([[1, 0, 0, 0], [0, 0, 0, 0]]),
    disliked_later=matrix([[0, 0, 1, 0], [1, 1, 0, 0]]),
)


class InOrder:
    """Scores items by their rows, the first highest; keeps what it was shown."""

    n_items = 4

    def __init__(self, *, signed: bool) -> None:
        self.is_signed, self.shown = signed, np.zeros(0)

    def score(self, histories: csr_array) -> Float32Array:
        self.shown = histories.toarray()
        return np.tile(np.array([4, 3, 2, 1], dtype=np.float32), (histories.shape[0], 1))


@pytest.mark.parametrize("signed", [False, True])
def test_known_dislikes_stand_in_no_list_and_are_shown_to_those_who_take_them(signed: bool) -> None:
    model = InOrder(signed=signed)
    found = evaluate(model, PART, ["mrr", "recall@1", "dislike@1", "dislike@2"])
    assert found.per_user["mrr"].tolist() == [1.0, 1 / 3]
    assert found.per_user["recall@1"].tolist() == [1.0, 0.0]
    assert found.per_user["dislike@1"].tolist() == [0.0, 1.0]
    assert found.per_user["dislike@2"].tolist() == [0.5, 1.0]
    assert model.shown.tolist() == [[-1.0 if signed else 0.0, 0, 0, 1], [0, 0, 0, 1]]


def test_without_dislikes_in_the_held_out_part_there_is_nothing_to_count() -> None:
    with pytest.raises(ConfigError, match="dislike@2 needs dislikes"):
        evaluate(InOrder(signed=False), replace(PART, disliked_later=None), ["dislike@2"])


def test_parts_carry_their_dislikes_along() -> None:
    taken = PART.take(np.array([1]))
    assert taken.disliked_later is not None
    assert taken.disliked_later.toarray().tolist() == [[1, 1, 0, 0]]
    items, fewer = (IdMap(pl.Series("id", list(names))) for names in ("abcd", "ad"))
    narrowed = PART.onto(items, fewer)
    assert narrowed.dislikes is not None
    assert narrowed.dislikes.toarray().tolist() == [[1, 0], [0, 0]]
    with pytest.raises(DataError, match="dislikes has shape"):
        replace(PART, dislikes=matrix([[1, 0, 0, 0]]))


def events(rows: list[tuple[str, str, float, int]], **options: object) -> Events:
    users, items = (IdMap.from_values([row[place] for row in rows]) for place in (0, 1))
    weights = np.array([row[2] for row in rows], dtype=np.float32)
    order = np.array([row[3] for row in rows])
    return Events(
        users, items, users.rows(pl.Series([row[0] for row in rows])), items.rows(pl.Series([row[1] for row in rows])),
        np.abs(weights), order, "last", weights < 0, **options,  # type: ignore[arg-type]
    )  # fmt: skip


ROWS = [("v", item, 1.0, 1) for item in "abcd"] + [("v", "e", 1.0, 11), ("v", "f", 1.0, 21)]


def test_an_item_that_was_disliked_before_is_no_target() -> None:
    split = temporal(events([*ROWS, ("u", "a", 1, 2), ("u", "b", -1, 3), ("u", "b", 1, 12), ("u", "c", 1, 13)]),
                     validation_from=10, test_from=20)  # fmt: skip
    row = split.validation.users.rows(pl.Series(["u"]))
    assert split.validation.targets[row].indices.tolist() == split.train.items.rows(pl.Series(["c"])).tolist()
    assert split.counts["validation_repeats"] == 1


def test_last_out_asks_for_nothing_that_is_disliked_in_the_end() -> None:
    log = [("u", "a", 1, 1), ("u", "b", 1, 2), ("u", "c", 1, 3), ("u", "d", 1, 4), ("u", "d", -1, 5), ("u", "a", 1, 6)]
    split = last_out(events([*ROWS, *log]))
    row = split.test.users.rows(pl.Series(["u"]))
    assert split.test.targets[row].indices.tolist() == split.train.items.rows(pl.Series(["c"])).tolist()
    before = last_out(events(ROWS)).counts
    more = {name: count - before[name] for name, count in split.counts.items() if "after_the_last_new_item" in name}
    assert list(more.values()) == [1, 2]  # a repeat; and d twice, which is none


def test_a_half_life_needs_times() -> None:
    with pytest.raises(DataError, match="needs the times"):
        events(ROWS, half_life=3.0)
