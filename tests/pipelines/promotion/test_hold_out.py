"""What two models may be compared on: nothing that either has seen, and their twins where they have seen all."""

from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from pipelines.dataset.directory import DatasetDir
from pipelines.dataset.split_recipes import recipe
from pipelines.dataset.splits import load_split, make_split
from pipelines.promotion.contenders import Contender, pairings, twin_of
from pipelines.promotion.hold_out import HoldOut, find_hold_out
from recsys_vae.bundles.manifest import Provenance, read_manifest
from recsys_vae.data.interactions import Interactions
from recsys_vae.errors import BundleError, UnknownNameError
from tests.pipelines import logs_of_tastes
from tests.pipelines.promotion import shop
from tests.pipelines.promotion.shop import bundle, day


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> DatasetDir:
    found = shop.shop(tmp_path_factory.mktemp("shop") / "shop", n_users=200)
    make_split(found, recipe("temporal", validation_from=day(80), test_from=day(100)))
    make_split(found, recipe("strong", heldout=40))
    return found


def until(path: Path, dataset: DatasetDir, end: float) -> Contender:
    return Contender.open(bundle(path, dataset, day(end)))


def published(path: Path, dataset: DatasetDir, end: float, twin_end: float = 0, split: str = "temporal") -> Contender:
    """A bundle of all data, and where a split is named the one that it was made from."""

    def told(trained_on: str, metrics_on: str = "", cutoff: str | None = None) -> shop.Fit:
        def fit(known: Interactions, place: Path, provenance: Provenance) -> None:
            origin = replace(provenance, trained_on=trained_on, metrics_on=metrics_on)
            if trained_on != "all":
                origin = replace(origin, dataset_fingerprint=known.fingerprint())
            shop.good(known, place, replace(origin, training_cutoff=cutoff) if cutoff else origin)

        return fit

    if split == "strong":
        shop_split = load_split(dataset, "strong")
        origin = Provenance(
            dataset="shop",
            trained_on="split:strong/train",
            training_cutoff=dataset.latest(),
            dataset_fingerprint=shop_split.train.fingerprint(),
        )
        shop.good(shop_split.train, path / "twin", origin)
    else:
        bundle(path / "twin", dataset, day(twin_end), told("split:temporal/refit"))
    by = f"split:{split}/test, by {read_manifest(path / 'twin').version}"
    return Contender.open(bundle(path / "all", dataset, day(end), told("all", by)), path / "twin")


def window_of(hold_out: HoldOut, dataset: DatasetDir) -> tuple[object, object]:
    """First and last time of what is to be found."""
    targets = hold_out.asked.targets.tocoo()
    pairs = pl.DataFrame(
        {
            "user_id": hold_out.asked.users.values.gather(targets.coords[0]),
            "item_id": hold_out.items.values.gather(targets.coords[1]),
        }
    )
    times = dataset.interactions().collect().join(pairs, on=["user_id", "item_id"])["timestamp"]
    assert len(times) == targets.nnz
    return times.min(), times.max()


def test_asked_is_what_came_after_the_later_of_both_data_ends(dataset: DatasetDir, tmp_path: Path) -> None:
    old, new = until(tmp_path / "a", dataset, 60), until(tmp_path / "b", dataset, 90)
    for champion, challenger in ((old, new), (new, old)):
        hold_out = find_hold_out(champion, challenger, dataset)
        assert (hold_out.champion, hold_out.challenger) == (champion.bundle, challenger.bundle)
        assert hold_out.asked.overlap() == 0
        first, _ = window_of(hold_out, dataset)
        assert day(90) < first  # type: ignore[operator]
        assert hold_out.item_counts.sum() == len(
            dataset.interactions().filter(pl.col("timestamp") <= day(90)).collect()
        )


def test_for_a_challenger_that_has_seen_all_its_twin_is_asked(dataset: DatasetDir, tmp_path: Path) -> None:
    champion, challenger = until(tmp_path / "a", dataset, 95), published(tmp_path / "b", dataset, 120, twin_end=100)
    hold_out = find_hold_out(champion, challenger, dataset)
    assert (hold_out.champion, hold_out.challenger) == (champion.bundle, challenger.twin)
    first, _ = window_of(hold_out, dataset)
    assert day(100) < first  # type: ignore[operator]
    without = Contender(challenger.bundle, None, 0)
    with pytest.raises(BundleError, match=r"new to both models: .* not at hand.* events end at .*--on DATASET/SPLIT"):
        find_hold_out(champion, without, dataset)


def test_two_that_have_seen_all_are_compared_by_their_twins(dataset: DatasetDir, tmp_path: Path) -> None:
    one = published(tmp_path / "a", dataset, 120, twin_end=90)
    other = published(tmp_path / "b", dataset, 120, twin_end=100)
    hold_out = find_hold_out(one, other, dataset)
    assert (hold_out.champion, hold_out.challenger) == (one.twin, other.twin)
    strong = find_hold_out(
        published(tmp_path / "c", dataset, 120, split="strong"),
        published(tmp_path / "d", dataset, 120, split="strong"),
        dataset,
    )
    assert strong.place == "test part of split 'strong'"
    assert strong.asked.users == load_split(dataset, "strong").test.asked().users


def test_the_champions_twin_never_meets_a_published_challenger_itself(dataset: DatasetDir, tmp_path: Path) -> None:
    champion = published(tmp_path / "a", dataset, 120, twin_end=60)
    challenger = until(tmp_path / "b", dataset, 100)
    assert [pair for pair in pairings(champion, challenger) if pair[0] is champion.twin] == []
    with pytest.raises(BundleError, match="Nothing in dataset 'shop' is new to both models"):
        find_hold_out(champion, challenger, dataset)


def test_a_split_that_is_named_is_asked_and_no_other(dataset: DatasetDir, tmp_path: Path) -> None:
    champion, challenger = until(tmp_path / "a", dataset, 60), until(tmp_path / "b", dataset, 90)
    hold_out = find_hold_out(champion, challenger, dataset, "temporal")
    assert hold_out.place == "test part of split 'temporal'"
    late = until(tmp_path / "c", dataset, 101)
    with pytest.raises(BundleError, match="Nothing in split 'temporal' of dataset 'shop' is new to both models"):
        find_hold_out(champion, late, dataset, "temporal")
    with pytest.raises(UnknownNameError, match="no split of dataset 'shop' named 'tempral'"):
        find_hold_out(champion, challenger, dataset, "tempral")


def test_too_many_users_are_drawn_from_the_same_each_time(dataset: DatasetDir, tmp_path: Path) -> None:
    model = until(tmp_path / "a", dataset, 60)
    every, some, again = (find_hold_out(None, model, dataset, max_users=n) for n in (10_000, 31, 31))
    assert (some.n_users, some.n_of) == (31, every.n_users)
    assert some.asked.users == again.asked.users


def test_a_log_of_other_items_and_one_without_times_are_refused(dataset: DatasetDir, tmp_path: Path) -> None:
    model = until(tmp_path / "a", dataset, 60)
    log = dataset.interactions().collect()
    foreign = logs_of_tastes.dataset(tmp_path / "foreign", log.with_columns(item_id="other-" + pl.col("item_id")))
    with pytest.raises(BundleError, match=r"knows none of the .* items of dataset 'foreign'"):
        find_hold_out(None, model, foreign)
    untimed = logs_of_tastes.dataset(
        tmp_path / "untimed", log.with_columns(timestamp=pl.lit(None, pl.Datetime("us", "UTC")))
    )
    with pytest.raises(BundleError, match="Not all of its events have a time"):
        find_hold_out(None, model, untimed)


def test_a_twin_has_to_be_the_one_that_the_manifest_names(dataset: DatasetDir, tmp_path: Path) -> None:
    whole = published(tmp_path / "a", dataset, 120, twin_end=100)
    assert whole.twin is not None
    assert twin_of(whole.bundle.manifest) == whole.twin.version
    other = bundle(tmp_path / "b", dataset, day(70))
    with pytest.raises(BundleError, match="was published from ease-"):
        Contender.open(tmp_path / "a" / "all", other)
    with pytest.raises(BundleError, match="was not published from another bundle"):
        Contender.open(other, tmp_path / "a" / "twin")
