"""Dislikes and ages through every protocol: what a part of a split knows, solved by hand."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from pipelines.dataset.directory import DatasetDir
from pipelines.dataset.evidence import taste_of
from pipelines.dataset.split_recipes import recipe
from pipelines.dataset.splits import load_split, make_split
from pipelines.ingest.cleaning import CleaningRules
from pipelines.ingest.ingest import ingest
from pipelines.ingest.log_sources import Source
from recsys_vae.errors import ConfigError
from recsys_vae.evaluation.splits import HeldOut, Split

DAY = 86_400
RULES = CleaningRules(dislikes=("hide",))


def dataset_of(folder: Path, rows: list[tuple[str, str, str, int | None]], rules: CleaningRules = RULES) -> DatasetDir:
    """Rows are user, item, kind and day."""
    log = folder / "log.csv"
    lines = [f"{user},{item},{kind},{'' if day is None else 10**9 + day * DAY}" for user, item, kind, day in rows]
    log.write_text("user_id,item_id,event_type,timestamp\n" + "\n".join(lines) + "\n")
    dataset = DatasetDir(folder / "data")
    ingest(Source((log,)), dataset, rules)
    return dataset


def cells(split: Split, matrix: object, users: object) -> dict[tuple[str, str], float]:
    found = matrix.tocoo()  # type: ignore[attr-defined]
    names, items = list(users.values), list(split.train.items.values)  # type: ignore[attr-defined]
    return {(names[u], items[i]): float(w) for u, i, w in zip(found.row, found.col, found.data, strict=True)}


def known(split: Split, part: HeldOut) -> tuple[set[str], set[str], set[str], set[str]]:
    """Of user u: shown, disliked, asked for, and disliked later."""
    kinds = (part.histories, part.dislikes, part.targets, part.disliked_later)
    found = [cells(split, matrix, part.users) for matrix in kinds]
    return tuple({item for user, item in one if user == "u"} for one in found)  # type: ignore[return-value]


WINDOWS = {"validation_from": "2001-09-19T01:46:40", "test_from": "2001-09-29T01:46:40"}  # days 10 and 20
CROWD = [("v", item, "buy", 1) for item in "abcdefgh"]


def test_a_cut_in_time_knows_what_was_said_before_it(tmp_path: Path) -> None:
    dataset = dataset_of(tmp_path, [
        *CROWD, ("u", "a", "buy", 1), ("u", "b", "hide", 2), ("u", "c", "buy", 3),
        ("u", "d", "buy", 11), ("u", "c", "hide", 12), ("u", "b", "buy", 13),
        ("u", "e", "buy", 21), ("u", "f", "hide", 22), ("u", "d", "hide", 23), ("u", "g", "buy", 24),
        ("u", "g", "hide", 25),
        ("v", "h", "view", 21), ("w", "a", "buy", 12), ("w", "b", "buy", 22),
    ])  # fmt: skip
    make_split(dataset, recipe("temporal", **WINDOWS))
    split = load_split(dataset, "temporal")
    assert known(split, split.validation) == ({"a", "c"}, {"b"}, {"d"}, set())
    assert known(split, split.test) == ({"a", "b", "d"}, {"c"}, {"e"}, {"f", "g"})
    assert set(cells(split, split.train_dislikes, split.train.users)) == {("u", "b")}
    assert split.refit is not None
    assert set(cells(split, split.refit_dislikes, split.refit.users)) == {("u", "c")}
    assert split.test.shown.data.min() < 0
    assert split.test.hidden.nnz == split.test.histories.nnz + split.test.dislikes.nnz


def test_the_last_item_that_is_asked_for_is_one_that_is_liked_in_the_end(tmp_path: Path) -> None:
    dataset = dataset_of(tmp_path, [
        *CROWD, ("u", "a", "buy", 1), ("u", "b", "buy", 2), ("u", "c", "buy", 3), ("u", "d", "buy", 4),
        ("u", "d", "hide", 5), ("u", "e", "hide", 6), ("u", "e", "buy", 7), ("u", "f", "hide", 8),
    ])  # fmt: skip
    make_split(dataset, recipe("last-out"))
    split = load_split(dataset, "last-out")
    assert known(split, split.test)[:3] == ({"a", "b"}, set(), {"c"})
    assert known(split, split.test)[3] == {"d", "f"}
    assert known(split, split.validation)[:3] == ({"a"}, set(), {"b"})


def test_held_out_users_fold_in_what_they_dislike_too(tmp_path: Path) -> None:
    rows = [(f"u{n:02}", f"i{k}", "buy" if k < 6 else "hide", k) for n in range(20) for k in range(11)]
    rows += [("x", f"i{k}", "buy", 1) for k in range(11)]
    plain = dataset_of(tmp_path, [row for row in rows if row[2] == "buy"], CleaningRules())
    (tmp_path / "signed").mkdir()
    dataset = dataset_of(tmp_path / "signed", rows)
    for one in (plain, dataset):
        make_split(one, recipe("strong", heldout=3))
    split, without = load_split(dataset, "strong"), load_split(plain, "strong")
    for part in ("validation", "test"):
        mine = split.part(part)
        assert mine.users == without.part(part).users
        assert mine.histories.nnz == without.part(part).histories.nnz
        assert np.diff(mine.dislikes.indptr).tolist() == [4] * 3
        assert np.diff(mine.disliked_later.indptr).tolist() == [1] * 3
    assert split.train_dislikes.nnz == 5 * 14
    assert without.train_dislikes is None


@pytest.mark.parametrize("protocol", ["strong", "temporal", "last-out"])
def test_ages_count_from_the_latest_event_that_a_part_knows(tmp_path: Path, protocol: str) -> None:
    rows = [(user, item, "buy", day) for user in "uvwxyz" for item, day in zip("abcde", (1, 3, 5, 15, 25), strict=True)]
    dataset = dataset_of(tmp_path, [*rows, ("u", "f", "hide", 6), ("v", "f", "buy", 2)])
    options = {"strong": {"heldout": 1}, "temporal": WINDOWS}.get(protocol, {})
    make_split(dataset, recipe(protocol, **options))
    plain, aged = load_split(dataset, protocol), load_split(dataset, protocol, half_life=2.0)
    for one, other in ((plain.train.matrix, aged.train.matrix), (plain.test.histories, aged.test.histories)):
        assert (one.indices == other.indices).all()
    found = cells(aged, aged.train.matrix, aged.train.users)
    latest = {"strong": 25, "temporal": 5, "last-out": 5}[protocol]
    user = next(user for user, _ in sorted(found) if user not in "uv")
    assert found[user, "a"] == pytest.approx(0.5 ** ((latest - 1) / 2))
    if protocol == "temporal":  # what is disliked is of an age, too
        assert found["u", "c"] == pytest.approx(0.5**0.5)
        assert cells(aged, aged.train_dislikes, aged.train.users) == {("u", "f"): 1.0}


def test_a_half_life_needs_times(tmp_path: Path) -> None:
    dataset = dataset_of(tmp_path, [("u", "a", "buy", None), ("u", "b", "hide", None)])
    assert taste_of(dataset).disliked is not None
    with pytest.raises(ConfigError, match="needs times"):
        taste_of(dataset, half_life=3.0)


def test_weights_are_those_of_one_evidence_of_all_events(tmp_path: Path) -> None:
    dataset = dataset_of(
        tmp_path, [("u", "a", "buy", 1), ("u", "a", "buy", 3), ("u", "b", "hide", 3), ("v", "b", "buy", 1)]
    )
    liked, disliked = taste_of(dataset, half_life=2.0)
    assert liked.matrix.toarray().tolist() == [[1.0, 0.0], [0.0, 1.0]]
    assert disliked is not None
    assert disliked.toarray().tolist() == [[0.0, 1.0], [0.0, 0.0]]
    assert pl.read_parquet(dataset.dislikes_path).height == 1
