import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pipelines.dataset.directory import DatasetDir
from pipelines.dataset.split_recipes import recipe
from pipelines.dataset.splits import load_split, make_split
from pipelines.evaluation.evaluate import METRICS, evaluate_bundle, measure_served
from pipelines.evaluation.report import headline, render, write_report
from pipelines.evaluation.results import as_json
from recsys_vae.bundles.bundle import Bundle, Tiers, write_bundle
from recsys_vae.bundles.manifest import Provenance
from recsys_vae.bundles.tier_policy import HISTORY, POPULAR, TierPolicy, TierThreshold
from recsys_vae.data.interactions import Interactions
from recsys_vae.errors import BundleError, ConfigError, UnknownNameError
from recsys_vae.evaluation.splits import Split
from recsys_vae.models.ease import EASE, EASEConfig
from recsys_vae.native.library import library
from tests.pipelines.logs_of_tastes import dataset, frame
from tests.worlds import untrained


@pytest.fixture(scope="module")
def tastes(tmp_path_factory: pytest.TempPathFactory) -> DatasetDir:
    found = dataset(tmp_path_factory.mktemp("evaluate") / "tastes", frame(100))
    make_split(found, recipe("strong", min_items=2, heldout=20))
    make_split(found, recipe("last-out"))
    return found


@pytest.fixture(scope="module")
def bundle(tastes: DatasetDir, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return ease_bundle(
        tmp_path_factory.mktemp("bundles") / "ease", load_split(tastes, "strong").train, "split:strong/train"
    )


def ease_bundle(
    path: Path, learned_from: Interactions, trained_on: str, fingerprint: str | None = None, tiers: Tiers | None = None
) -> Path:
    model = EASE(learned_from.n_items, EASEConfig(l2=1.0))
    model.fit(learned_from.matrix)
    provenance = Provenance(
        dataset="tastes",
        dataset_fingerprint=learned_from.fingerprint() if fingerprint is None else fingerprint,
        trained_on=trained_on,
        n_users=learned_from.n_users,
    )
    counts = learned_from.item_counts()
    write_bundle(path, model, learned_from.items, popularity=counts, provenance=provenance, tiers=tiers)
    return path


@pytest.mark.skipif(library() is None, reason="nothing is compiled here")
@pytest.mark.parametrize("name", ["ease", "mult-dae", "mult-vae", "rec-vae"])
def test_models_are_measured_without_torch(tastes: DatasetDir, tmp_path: Path, name: str) -> None:
    train = load_split(tastes, "strong").train
    provenance = Provenance(dataset_fingerprint=train.fingerprint(), trained_on="split:strong/train")
    model = untrained(name, train.n_items)
    write_bundle(tmp_path / "b", model, train.items, popularity=train.item_counts(), provenance=provenance)
    script = """if True:
        import sys
        from pipelines.cli import build
        build("evaluate")(["evaluate", *sys.argv[1:]], standalone_mode=False)
        sys.exit("torch" in sys.modules or "mlflow" in sys.modules or "faiss" in sys.modules)
    """
    told = [str(one) for one in (tmp_path / "b", tastes.path, "--split", "strong", "--json")]
    done = subprocess.run([sys.executable, "-c", script, *told], check=True, capture_output=True, text=True)
    here = as_json(evaluate_bundle(tmp_path / "b", tastes, "strong"))
    assert json.loads(done.stdout) == json.loads(json.dumps(here))


def test_a_bundle_is_measured_beside_baselines(tastes: DatasetDir, bundle: Path) -> None:
    run = evaluate_bundle(bundle, tastes, "strong", baselines=["popularity", "ease:l2=1.0"])
    assert [result.label for result in run.results] == ["ease", "popularity", "ease (baseline)"]
    assert run.metrics == list(METRICS)
    twin = {d.metric: d.interval for d in run.differences if d.baseline == "ease (baseline)"}
    assert all((i.difference, i.low, i.high) == (0, 0, 0) for i in twin.values())
    popularity = {d.metric: d.interval for d in run.differences if d.baseline == "popularity"}
    assert popularity["mrr"].low > 0
    assert "coverage@20" not in popularity


def test_the_json_is_plain_and_has_null_where_there_is_no_number(tastes: DatasetDir, bundle: Path) -> None:
    run = evaluate_bundle(bundle, tastes, "strong", part="validation", metrics=["recall@2", "coverage@2"])
    found = json.loads(json.dumps(as_json(run), allow_nan=False))
    assert found["models"]["ease"]["coverage@2"]["standard_error"] is None
    assert found["users"] == 20
    assert (found["part"], found["protocol"], found["differences"]) == ("validation", "strong", [])


@pytest.fixture(scope="module")
def popular(tastes: DatasetDir, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle whose model is EASE, and whose rungs say: always popularity."""
    policy = TierPolicy((TierThreshold(0, POPULAR),), (TierThreshold(0, POPULAR),))
    train = load_split(tastes, "strong").train
    path = tmp_path_factory.mktemp("bundles") / "popular"
    return ease_bundle(path, train, "split:strong/train", tiers=Tiers(policy))


def test_what_is_measured_is_what_is_served(tastes: DatasetDir, popular: Path) -> None:
    run = evaluate_bundle(popular, tastes, "strong", baselines=["popularity", "ease:l2=1.0"])
    served, bare, popularity, ease = run.results
    assert (served.label, bare.label) == ("ease (served)", "ease (bare)")
    assert served.evaluation.means == pytest.approx(popularity.evaluation.means, rel=0, abs=1e-9)
    assert served.evaluation.standard_errors == pytest.approx(popularity.evaluation.standard_errors, rel=0, abs=1e-9)
    assert bare.evaluation.means == pytest.approx(ease.evaluation.means, rel=0, abs=1e-9)
    assert bare.evaluation.means["mrr"] > served.evaluation.means["mrr"]
    assert {difference.baseline for difference in run.differences} == {"ease (bare)", "popularity", "ease (baseline)"}
    asked = load_split(tastes, "strong").test
    published = measure_served(Bundle.load(popular), asked, ["mrr"])
    assert published.means["mrr"] == pytest.approx(popularity.evaluation.means["mrr"], rel=0, abs=1e-9)


def test_page_and_json_say_which_is_served_and_which_is_bare(tastes: DatasetDir, popular: Path, bundle: Path) -> None:
    run = evaluate_bundle(popular, tastes, "strong", metrics=["mrr"])
    found = as_json(run)
    assert (found["served"], found["bare"]) == ("ease (served)", "ease (bare)")
    assert list(found["models"]) == ["ease (served)", "ease (bare)"]
    page = render(run)
    assert "as served, by the tiers" in page
    assert "the model alone" in page
    same = as_json(evaluate_bundle(bundle, tastes, "strong", metrics=["mrr"]))
    assert (same["served"], same["bare"], list(same["models"])) == ("ease", "ease", ["ease"])


def test_only_users_who_are_asked_decide_whether_the_bare_model_differs(tastes: DatasetDir, tmp_path: Path) -> None:
    short = (TierThreshold(0, POPULAR), TierThreshold(2, HISTORY))  # everybody has more
    train = load_split(tastes, "strong").train
    path = ease_bundle(tmp_path / "short", train, "split:strong/train", tiers=Tiers(TierPolicy(short, short)))
    run = evaluate_bundle(path, tastes, "strong", metrics=["mrr"])
    assert [result.label for result in run.results] == ["ease"]


def test_figures_equal_those_of_the_library(tastes: DatasetDir, bundle: Path) -> None:
    split = load_split(tastes, "strong")
    one, other = (
        evaluate_bundle(bundle, tastes, "strong", part=part, metrics=["mrr"]) for part in ("test", "validation")
    )
    assert one.held_out.users == split.test.users
    assert other.held_out.users == split.validation.users


@pytest.mark.parametrize(
    ("trained_on", "why"),
    [
        ("all", "retrained on all data"),
        ("split:other/train", "may hold what it would be asked"),
        ("", "does not say what it was trained on"),
    ],
)
def test_a_bundle_that_may_have_seen_the_answers_is_refused(
    tastes: DatasetDir, tmp_path: Path, trained_on: str, why: str
) -> None:
    path = ease_bundle(tmp_path / "seen", load_split(tastes, "strong").train, trained_on)
    with pytest.raises(BundleError, match=why):
        evaluate_bundle(path, tastes, "strong")


def test_a_bundle_of_an_earlier_making_of_the_split_is_refused(tastes: DatasetDir, tmp_path: Path) -> None:
    train = load_split(tastes, "strong").train
    path = ease_bundle(tmp_path / "old", train, "split:strong/train", fingerprint="0" * 64)
    with pytest.raises(BundleError, match="earlier making"):
        evaluate_bundle(path, tastes, "strong")


def test_a_bundle_of_another_catalogue_is_refused(tastes: DatasetDir, tmp_path: Path) -> None:
    train = load_split(tastes, "strong").train
    fewer = Interactions(train.matrix[:, :-1], train.users, type(train.items)(train.items.values.head(-1)))
    with pytest.raises(BundleError, match="11 items"):
        evaluate_bundle(ease_bundle(tmp_path / "fewer", fewer, "split:strong/train"), tastes, "strong")


def test_a_refitted_bundle_answers_for_test_but_not_for_validation(tastes: DatasetDir, tmp_path: Path) -> None:
    split: Split = load_split(tastes, "last-out")
    path = ease_bundle(tmp_path / "refit", split.training_part, "split:last-out/refit")
    run = evaluate_bundle(path, tastes, "last-out", baselines=["popularity"], metrics=["mrr", "novelty@2"])
    assert np.array_equal(run.item_counts, split.training_part.item_counts())
    with pytest.raises(BundleError, match="test part"):
        evaluate_bundle(path, tastes, "last-out", part="validation")


def test_misspelt_baselines_are_named_before_anything_is_computed(tastes: DatasetDir) -> None:
    nowhere = Path("/nonexistent")
    with pytest.raises(UnknownNameError, match="Did you mean 'ease'"):
        evaluate_bundle(nowhere, tastes, "strong", baselines=["eas"])
    with pytest.raises(UnknownNameError, match="setting of ease"):
        evaluate_bundle(nowhere, tastes, "strong", baselines=["ease:lambda=3"])
    with pytest.raises(ConfigError, match="ease:l2=200"):
        evaluate_bundle(nowhere, tastes, "strong", baselines=["ease:l2"])
    with pytest.raises(UnknownNameError, match="metric"):
        evaluate_bundle(nowhere, tastes, "strong", metrics=["recal@2"])


def test_the_report_is_one_page_that_needs_nothing_else(tastes: DatasetDir, bundle: Path, tmp_path: Path) -> None:
    run = evaluate_bundle(bundle, tastes, "strong", baselines=["popularity"])
    write_report(run, tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text()
    assert page.count("<svg") == page.count("</svg>") == 5
    assert not re.search(r"<script|<link|@import|(src|href)=\"(?!#)", page)
    for name in run.metrics:
        assert f">{name}<" in page
    mean = run.ours.evaluation.means["recall@20"]
    assert f"{mean:.4f}" in page


MANY = ("popularity", "ease:l2=3", "ease:l2=200", "edlae", "graph-filter", "ease")


def test_every_baseline_has_a_name_of_its_own(tastes: DatasetDir, bundle: Path) -> None:
    run = evaluate_bundle(bundle, tastes, "strong", baselines=MANY, metrics=["recall@2"])
    labels = [result.label for result in run.results]
    assert labels == ["ease", "popularity", "ease:l2=3", "ease:l2=200", "edlae", "graph-filter", "ease (baseline)"]
    assert list(as_json(run)["models"]) == labels
    with pytest.raises(ConfigError, match="named twice"):
        evaluate_bundle(bundle, tastes, "strong", baselines=["popularity", "popularity"])


def test_a_page_of_many_baselines_keeps_its_legends_and_tables_within_its_width(
    tastes: DatasetDir, bundle: Path
) -> None:
    run = evaluate_bundle(bundle, tastes, "strong", baselines=MANY, metrics=["recall@2", "coverage@2", "novelty@2"])
    page = render(run)
    assert page.count('class="measured stacked"') == 2
    labels = {result.label for result in run.results}
    for svg in re.findall(r"<svg.*?</svg>", page, re.DOTALL):
        width = float(re.search(r'viewBox="0 0 ([0-9.]+)', svg)[1])  # type: ignore[index]
        texts = re.findall(r'<text[^>]* x="([0-9.]+)"[^>]*>([^<]+)</text>', svg)
        starts = [(float(x), text) for x, text in texts if text.removeprefix("against ") in labels]
        assert len(starts) >= len(labels) - 1
        assert all(x + 4 * len(text) < width for x, text in starts)  # a letter is 5 to 6 points wide


def test_a_report_without_baselines_or_user_metrics_still_stands(tastes: DatasetDir, bundle: Path) -> None:
    page = render(evaluate_bundle(bundle, tastes, "strong", metrics=["coverage@3"]))
    assert "against the baselines" not in page
    assert "nan" not in page.lower().replace("finance", "")


def test_the_report_shows_the_use_of_the_code_where_there_is_one(
    tastes: DatasetDir, bundle: Path, tmp_path: Path
) -> None:
    split = load_split(tastes, "strong")
    model = untrained("mult-vae", split.train.n_items)
    provenance = Provenance(dataset="tastes", trained_on="split:strong/train", n_users=split.train.n_users)
    counts = split.train.item_counts()
    write_bundle(tmp_path / "vae", model, split.train.items, popularity=counts, provenance=provenance)
    run = evaluate_bundle(tmp_path / "vae", tastes, "strong", metrics=["mrr"])
    assert run.activity is not None
    assert run.activity.kl.shape == (4,)
    assert as_json(run)["active_units"] == run.activity.active_units
    assert f"{run.activity.active_units} of 4 latents active" in render(run)
    without = evaluate_bundle(bundle, tastes, "strong", metrics=["mrr"])
    assert without.activity is None
    assert "latents active" not in render(without)


def test_names_from_data_are_escaped(tastes: DatasetDir, bundle: Path) -> None:
    run = evaluate_bundle(bundle, tastes, "strong", metrics=["recall@2"])
    page = render(replace(run, version="<b>bold</b>"))
    assert "<b>bold" not in page


def test_the_headline_says_which_way_and_how_sure(tastes: DatasetDir, bundle: Path) -> None:
    run = evaluate_bundle(bundle, tastes, "strong", metrics=["mrr"], baselines=["popularity", "ease:l2=1.0"])
    assert re.fullmatch(
        r"ease reaches mrr of 0\.\d{3} ± 0\.\d{3}: \d+% above popularity \(0\.\d{3}\) and within chance of "
        r"ease \(baseline\) \(0\.\d{3}\)\.",
        headline(run),
    )


def test_any_number_of_bundles_are_compared_on_the_same_users(tastes: DatasetDir, bundle: Path, popular: Path) -> None:
    run = evaluate_bundle(bundle, tastes, "strong", others=[popular], baselines=["ease:l2=1.0"])
    assert [result.label for result in run.results] == ["ease ease", "ease popular (served)", "ease"]
    assert run.others == {"ease popular (served)": Bundle.load(popular).version}
    assert as_json(run)["others"] == dict(run.others)
    alone = evaluate_bundle(popular, tastes, "strong")
    assert run.results[1].evaluation.means == alone.ours.evaluation.means
    ahead = {d.metric: d.interval for d in run.differences if d.baseline == "ease popular (served)"}
    assert ahead["mrr"].low > 0
    page = render(run)
    assert "against the others" in page
    assert "minus ease popular (served)" in page


def test_bundles_of_one_name_in_folders_of_one_name_are_told_apart_by_their_paths(
    tastes: DatasetDir, bundle: Path, tmp_path: Path
) -> None:
    twin = ease_bundle(tmp_path / "ease", load_split(tastes, "strong").train, "split:strong/train")
    run = evaluate_bundle(bundle, tastes, "strong", others=[twin], metrics=["mrr"])
    assert [result.label for result in run.results] == [f"ease {bundle}", f"ease {twin}"]
    (difference,) = run.differences
    assert (difference.interval.low, difference.interval.high) == (0, 0)
    with pytest.raises(ConfigError, match="named twice"):
        evaluate_bundle(bundle, tastes, "strong", others=[bundle.parent / "." / bundle.name])
