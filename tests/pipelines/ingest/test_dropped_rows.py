import numpy as np
import polars as pl

from pipelines.ingest.cleaning import Rule
from pipelines.ingest.dropped_rows import DroppedRows, LossCounts


def test_counts_stay_while_more_users_and_items_come_to_be_known():
    lost = LossCounts()
    for n_users, n_items in ((2, 1), (3, 1), (900, 40), (900, 41)):
        users, items = lost.room(Rule.MIN_RATING, n_users, n_items)
        assert (len(users), len(items)) == (n_users, n_items)
        users[-1] += 1
        items[0] += 1
    of_users, of_items = (lost.counts[entity, Rule.MIN_RATING] for entity in ("user", "item"))
    assert of_users[of_users > 0].tolist() == [1, 1, 2]
    assert np.flatnonzero(of_users).tolist() == [1, 2, 899]
    assert of_items.tolist() == [4] + [0] * 40


def test_a_rule_that_took_no_row_is_in_no_account():
    ids = pl.Series(["a", "b"])
    lost = DroppedRows(ids, ids)
    lost.losses.room(Rule.MIN_RATING, 2, 2)
    assert lost.totals() == ()
    part = LossCounts()
    part.count(Rule.DUPLICATE, np.array([0, 0]), np.array([1, 0]), 1, 2)
    lost.join(part, first_user=1)
    assert [(one.name, one.rows) for one in lost.totals()] == [("duplicate", 2)]
    assert lost.counts("user", Rule.DUPLICATE).tolist() == [0, 2]
