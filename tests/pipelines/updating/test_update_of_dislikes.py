"""Updates of models that learn from dislikes: the old ones are found again, and what is learned equals a retrain."""

import math
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from pipelines.cli import build
from pipelines.dataset.directory import DatasetDir
from pipelines.dataset.evidence import taste_of
from pipelines.dataset.split_recipes import recipe
from pipelines.dataset.splits import load_split, make_split
from pipelines.ingest.append import append
from pipelines.ingest.cleaning import CleaningRules, Keep
from pipelines.ingest.ingest import ingest
from pipelines.ingest.log_sources import Source
from pipelines.training.fit import ModelSpec
from pipelines.training.publish import publish_bundle
from pipelines.training.train import Output, origin, train_bundle
from pipelines.updating.update import course_of, stands, update_bundle
from recsys_vae.arrays import floats_of
from recsys_vae.bundles.bundle import Bundle, write_bundle
from recsys_vae.bundles.manifest import read_manifest
from recsys_vae.data.ids import IdMap
from recsys_vae.models import linear_update
from recsys_vae.models.ease import EASEConfig
from recsys_vae.models.edlae import EDLAEConfig
from recsys_vae.models.updatable import EXACT, REFIT
from recsys_vae.protocols import Recommender
from recsys_vae.training import update as updating
from recsys_vae.training.fit import fit
from recsys_vae.training.update_run import UpdateRun

DAY = 86_400
MODELS: dict[str, Any] = {"ease": EASEConfig(l2=20.0, dislikes=0.5), "edlae": EDLAEConfig(l2=20.0, dislikes=1.0)}
RULES = CleaningRules(event_weights=(("buy", 3.0), ("view", 1.0)), dislikes=("hide",))


def log(path: Path, seed: int, days: range, users: range, items: range, n: int = 400) -> Path:
    """Events of some days; who buys and hides what is drawn, so that likes become dislikes and the other way round."""
    rng = np.random.default_rng(seed)
    kinds = np.array(["buy", "view", "hide"])[rng.choice(3, n, p=(0.4, 0.35, 0.25))]
    times = 10**9 + DAY * rng.choice(days, n) + rng.integers(0, DAY, n)
    pairs = zip(rng.choice(users, n), rng.choice(items, n), kinds, times, strict=True)
    lines = [f"u{user:02},i{item:02},{kind},{time}" for user, item, kind, time in pairs]
    path.write_text("user_id,item_id,event_type,timestamp\n" + "\n".join(lines) + "\n")
    return path


def ingested(home: Path, rules: CleaningRules = RULES, seed: int = 0) -> DatasetDir:
    dataset = DatasetDir(home / "datasets" / "shop")
    ingest(Source((log(home / "early.csv", seed, range(20), range(40), range(10)),)), dataset, rules)
    return dataset


def grow(home: Path, dataset: DatasetDir, seed: int = 0) -> None:
    """Days later: familiar users and new ones, an item more."""
    append((log(home / "late.csv", seed + 1, range(20, 27), range(30, 46), range(11), 150),), dataset)


def parent_of(dataset: DatasetDir, spec: ModelSpec, half_life: float, path: Path) -> Path:
    """As `recsys publish` writes it."""
    liked, disliked = taste_of(dataset, half_life=half_life)
    made = fit(spec, liked.matrix, dislikes=disliked)
    told = replace(origin(dataset, spec, made, liked, disliked), trained_on="all", training_cutoff=dataset.latest())
    signals = replace(dataset.signals(), half_life=half_life)
    counts = liked.item_counts()
    write_bundle(path, made.model, liked.items, popularity=counts, provenance=told, signals=signals)
    return path


def difference(one: Recommender, other: Recommender) -> float:
    """Largest of B, as a share of its largest entry."""
    found, wanted = (floats_of(model.tensors(), "weights", (None, None)) for model in (one, other))
    return float(np.abs(found - wanted).max() / np.abs(wanted).max())


def retrained(dataset: DatasetDir, spec: ModelSpec, half_life: float = math.inf) -> Recommender:
    liked, disliked = taste_of(dataset, half_life=half_life)
    return fit(spec, liked.matrix, dislikes=disliked).model


@settings(max_examples=12)
@given(
    seed=st.integers(0, 1000),
    name=st.sampled_from(list(MODELS)),
    weights=st.sampled_from(["binary", "log", "value"]),
    half_life=st.sampled_from([math.inf, 7.0]),
    keep=st.sampled_from(list(Keep)),
)
def test_an_update_equals_a_retrain(seed: int, name: str, weights: str, half_life: float, keep: Keep) -> None:
    spec = ModelSpec(name, replace(MODELS[name], weights=weights))
    with TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patched:
        patched.setattr(linear_update, "WORTH_IT", math.inf)
        home = Path(folder)
        dataset = ingested(home, replace(RULES, keep=keep), seed)
        source = parent_of(dataset, spec, half_life, home / "parent")
        assert course_of(source, dataset).brings_nothing
        grow(home, dataset, seed)
        course = course_of(source, dataset)
        made = updating.update(course.bundle.model, UpdateRun(course.spec, course.change))
        assert made.how == EXACT
        assert difference(made.fitted.model, retrained(dataset, spec, half_life)) < 1e-5


@pytest.fixture
def shop(mlflow_home: Path, monkeypatch: pytest.MonkeyPatch) -> DatasetDir:
    monkeypatch.setattr(linear_update, "WORTH_IT", math.inf)
    return ingested(mlflow_home)


EASE = ModelSpec("ease", MODELS["ease"])


def test_published_bundles_of_grown_data_are_updated_exactly(
    shop: DatasetDir, mlflow_home: Path, tmp_path: Path
) -> None:
    make_split(shop, recipe("strong", heldout=8, fold_in=0.5))
    chosen = Output(tmp_path / "chosen", registered_name="shop")
    train_bundle(shop, "strong", EASE, chosen, resume=False, half_life=7.0)
    publish_bundle(chosen.path, shop, replace(chosen, path=tmp_path / "shipped"), resume=False)
    grow(mlflow_home, shop)

    def told(*options: str) -> str:
        found = CliRunner().invoke(build("update"), ["update", str(tmp_path / "shipped"), "shop", *options])
        assert found.exit_code == 0, found.output
        return found.output

    assert "dislikes came in" in told("--dry-run")
    assert ": exact in" in told()
    updated = Bundle.load(tmp_path / "shipped-u1")
    assert difference(updated.model, retrained(shop, EASE, 7.0)) < 1e-5
    assert "is that update already" in told()


def hide_something(dataset: DatasetDir, path: Path) -> None:
    """Append a dislike of something that nothing was said of."""
    liked, disliked = taste_of(dataset)
    assert disliked is not None
    row, column = np.argwhere((liked.matrix.toarray() == 0) & (disliked.toarray() == 0))[0]
    said = f"{liked.users.values[int(row)]},{liked.items.values[int(column)]},hide,{10**9 + 40 * DAY}"
    path.write_text(f"user_id,item_id,event_type,timestamp\n{said}\n")
    append((path,), dataset)


def test_a_dislike_alone_is_news(shop: DatasetDir, mlflow_home: Path, tmp_path: Path) -> None:
    source = parent_of(shop, EASE, math.inf, tmp_path / "parent")
    plain = parent_of(shop, ModelSpec("ease", replace(MODELS["ease"], dislikes=0.0)), math.inf, tmp_path / "plain")
    hide_something(shop, mlflow_home / "more.csv")
    course = course_of(source, shop)
    assert (course.counts.new_dislikes, course.counts.gone_dislikes, course.counts.new_interactions) == (1, 0, 0)
    assert not course.brings_nothing
    assert course_of(plain, shop).brings_nothing
    output = Output(tmp_path / "next", registered_name="shop")
    update_bundle(course, output)
    assert stands(output, course_of(source, shop))
    assert course_of(output.path, shop).brings_nothing
    hide_something(shop, mlflow_home / "still_more.csv")
    assert not stands(output, course_of(source, shop))


def test_a_bundle_of_a_split_follows_the_split(shop: DatasetDir, mlflow_home: Path, tmp_path: Path) -> None:
    make_split(shop, recipe("temporal", validation=0.1, test=0.1))
    chosen = Output(tmp_path / "chosen", registered_name="shop")
    train_bundle(shop, "temporal", EASE, chosen, resume=False)
    grow(mlflow_home, shop)
    make_split(shop, recipe("temporal", validation=0.1, test=0.1))
    made = update_bundle(course_of(chosen.path, shop), replace(chosen, path=tmp_path / "next"))
    assert made.manifest.lineage["how"] == EXACT
    split = load_split(shop, "temporal")
    wanted = fit(EASE, split.training_part.matrix, dislikes=split.training_dislikes).model
    assert difference(Bundle.load(tmp_path / "next").model, wanted) < 1e-5


def test_erased_users_take_their_dislikes_with_them(shop: DatasetDir, mlflow_home: Path, tmp_path: Path) -> None:
    source = parent_of(shop, EASE, math.inf, tmp_path / "parent")
    gone = IdMap.from_values(["u03", "u04", "u05"])
    first = Output(tmp_path / "first", registered_name="shop")
    assert update_bundle(course_of(source, shop, erased=gone), first).manifest.lineage["how"] == EXACT
    liked, disliked = taste_of(shop)
    assert disliked is not None
    rows = np.flatnonzero(gone.rows(liked.users.values) < 0)
    wanted = fit(EASE, liked.matrix[rows], dislikes=disliked[rows]).model
    assert difference(Bundle.load(first.path).model, wanted) < 1e-5
    grow(mlflow_home, shop)
    course = course_of(first.path, shop, erased=gone)
    assert not course.change.has_unknown_dislikes


def test_where_the_old_dislikes_are_not_known_it_is_a_fit_that_says_why(
    shop: DatasetDir, mlflow_home: Path, tmp_path: Path
) -> None:
    source = parent_of(shop, EASE, math.inf, tmp_path / "parent")
    bundle = Bundle.load(source)
    earlier = replace(bundle.manifest.provenance, dislikes_fingerprint="")
    of_before = tmp_path / "of_before"
    write_bundle(of_before, bundle.model, bundle.items, popularity=bundle.popularity, provenance=earlier)
    grow(mlflow_home, shop)
    found = CliRunner().invoke(build("update"), ["update", str(of_before), "shop"])
    assert found.exit_code == 0, found.output
    assert "the dislikes that" in found.output
    assert "why what was disliked before is not known" in found.output
    lineage = read_manifest(tmp_path / "of_before-u1").lineage
    assert (lineage["how"], lineage["figures"]["why"]) == (REFIT, "what was disliked before is not known")
    assert not course_of(tmp_path / "of_before-u1", shop).change.has_unknown_dislikes
