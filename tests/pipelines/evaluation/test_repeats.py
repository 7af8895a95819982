"""Next baskets: what bundles with a repeat-purchase head, and without, find of what is bought again and what is new."""

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from pipelines.cli import build
from pipelines.dataset.directory import DatasetDir
from pipelines.dataset.split_recipes import recipe
from pipelines.dataset.splits import load_split, make_split
from pipelines.evaluation.evaluate import evaluate_bundle
from pipelines.evaluation.further import Further
from pipelines.training.repeats import learn_repeats
from recsys_vae import repeats
from recsys_vae.bundles.additions import with_repeat
from recsys_vae.bundles.bundle import Bundle, write_bundle
from recsys_vae.bundles.manifest import Provenance
from recsys_vae.data.purchases import Visits
from recsys_vae.errors import BundleError
from recsys_vae.models.ials import IALS, IALSConfig
from recsys_vae.recommender import FallbackChain
from tests.pipelines import logs_of_groceries
from tests.pipelines.logs_of_groceries import START
from tests.recsys_vae.models.test_repeat import grocer

FROM = {"validation": 90, "test": 100}
"""Days of the log on which the windows begin."""
METRICS = ("recall@2", "recall@2[repeat]", "recall@2[novel]", "ndcg@2[repeat]")


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> DatasetDir:
    made = logs_of_groceries.dataset(tmp_path_factory.mktemp("data") / "grocer")
    moments = {f"{part}_from": START + timedelta(days=day) for part, day in FROM.items()}
    make_split(made, recipe("temporal", repeats="keep", **moments), "baskets")
    return made


@pytest.fixture(scope="module")
def bundles(dataset: DatasetDir, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Trained on what was before the test window: without a head, and with one."""
    folder, split = tmp_path_factory.mktemp("bundles"), load_split(dataset, "baskets")
    known = split.training_part
    model = IALS(known.n_items, IALSConfig(factors=2))
    model.fit(known.matrix)
    origin = Provenance(dataset=dataset.name, trained_on="split:baskets/refit", dataset_fingerprint=known.fingerprint())
    write_bundle(folder / "bare", model, known.items, popularity=known.item_counts(), provenance=origin)
    learned = learn_repeats(dataset, Bundle.load(folder / "bare"))
    with_repeat(folder / "bare", folder / "with-head", learned.head, learned.cutoff)
    return folder / "bare", folder / "with-head"


def means(path: Path, dataset: DatasetDir, repeat: Any, label: int = 0) -> dict[str, float]:
    run = evaluate_bundle(path, dataset, "baskets", metrics=METRICS, further=Further(repeat=repeat))
    return dict(run.results[label].evaluation.means)


def test_a_head_learns_no_more_than_its_bundle(bundles: tuple[Path, Path]) -> None:
    origin = Bundle.load(bundles[1]).manifest.provenance
    assert origin.repeat_cutoff == (START + timedelta(days=FROM["test"] - 1)).isoformat()


def test_what_is_bought_again_is_found_with_the_head(dataset: DatasetDir, bundles: tuple[Path, Path]) -> None:
    bare, with_head = bundles
    for repeat in ("allow", "only"):
        assert means(with_head, dataset, repeat)["recall@2[repeat]"] > means(bare, dataset, repeat)["recall@2[repeat]"]
    assert means(with_head, dataset, "only")["recall@2[novel]"] == 0
    assert means(with_head, dataset, "allow", label=1) == pytest.approx(means(bare, dataset, "allow"))


def test_new_items_alone_are_found_alike(dataset: DatasetDir, bundles: tuple[Path, Path]) -> None:
    found = [means(path, dataset, "exclude") for path in bundles]
    assert found[0] == found[1]
    assert found[0]["recall@2[repeat]"] == found[0]["ndcg@2[repeat]"] == 0
    assert found[0]["recall@2[novel]"] > 0


def test_users_are_seen_from_the_day_of_their_basket(dataset: DatasetDir, bundles: tuple[Path, Path]) -> None:
    chain, visits = FallbackChain(Bundle.load(bundles[1])), grocer()
    before = visits.kept(visits.days < FROM["test"])
    later = visits.kept(visits.days >= FROM["test"])
    days = np.full(visits.shape[0], np.iinfo(np.int64).max)
    np.minimum.at(days, later.users, later.days)
    asked = np.unique(later.users)
    known = before.purchases(days)[asked]
    assert known.counts.shape[1] == chain.n_items  # everything was bought by then
    found = repeats.search(chain, chain.encode((known.counts > 0).astype(np.float32)), known, 2, "allow")
    basket = Visits(*(getattr(later, name)[later.days == days[later.users]] for name in ("users", "items", "days")),
                    visits.shape).matrix().toarray()[asked] > 0  # fmt: skip
    recall = [basket[row, found.rows[row]].sum() / min(2, basket[row].sum()) for row in range(len(asked))]
    assert means(bundles[1], dataset, "allow")["recall@2"] == pytest.approx(np.mean(recall))


def test_metrics_of_repeats_come_by_themselves(dataset: DatasetDir, bundles: tuple[Path, Path]) -> None:
    run = evaluate_bundle(bundles[1], dataset, "baskets", further=Further(repeat="only"))
    assert {"recall@20[repeat]", "ndcg@100[novel]"} <= set(run.metrics)
    assert "mrr" not in run.metrics


def test_a_head_that_may_have_seen_the_window_is_refused(
    dataset: DatasetDir, bundles: tuple[Path, Path], tmp_path: Path
) -> None:
    learned = learn_repeats(dataset, Bundle.load(bundles[0]))
    for cutoff in (None, (START + timedelta(days=119)).isoformat()):
        with_repeat(bundles[0], tmp_path / "seen", learned.head, cutoff)
        with pytest.raises(BundleError, match="may have seen what it would be asked"):
            means(tmp_path / "seen", dataset, "allow")
        assert means(tmp_path / "seen", dataset, "exclude")["recall@2[novel]"] > 0


def test_the_commands_take_the_words(dataset: DatasetDir, bundles: tuple[Path, Path]) -> None:
    def recsys(*words: str) -> Any:
        return CliRunner().invoke(build(), list(words))

    moments = ["--validation-from", "2024-03-31", "--test-from", "2024-04-10"]
    options = ["split", str(dataset.path), "--protocol", "temporal", *moments, "--name", "again"]
    assert "repeated targets" in recsys(*options, "--repeats", "keep").output
    assert recsys(*options, "--repeats", "some").exit_code == 2
    told = recsys("evaluate", str(bundles[1]), str(dataset.path), "--split", "baskets", "--repeat", "only", "--json")
    assert "recall@20[repeat]" in next(iter(json.loads(told.stdout)["models"].values()))
