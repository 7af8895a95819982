"""What the gate found of a bundle without the newest events lets the same model of all events be promoted, no other."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from pipelines.dataset.directory import DatasetDir
from pipelines.promotion.made_alike import judge, promote_as
from pipelines.promotion.promote import promote
from recsys_vae.data.interactions import Interactions
from recsys_vae.errors import BusyError, ConfigError
from recsys_vae.training.tracking import connect
from tests.pipelines.promotion import shop
from tests.pipelines.promotion.test_promote import LIMITS, champion, dataset, register

__all__ = ["dataset"]


def published_from(version: str) -> shop.Fit:
    def fit(known: Interactions, path: Path, provenance: shop.Provenance) -> None:
        shop.nearly_as_good(known, path, replace(provenance, metrics_on=f"split:retrain/test, by {version}"))

    return fit


def updated_from(parent: str) -> shop.Fit:
    lineage = {"parent": parent, "parent_fingerprint": "", "how": "exact", "came_in": {}, "updates_since_full": 1,
               "last_full": parent}  # fmt: skip

    def fit(known: Interactions, path: Path, provenance: shop.Provenance) -> None:
        shop.nearly_as_good(known, path, replace(provenance, lineage=lineage))

    return fit


def tags(version: str) -> dict[str, str]:
    return dict(connect().get_model_version("shop", version).tags)


def test_what_was_published_from_a_bundle_that_passed_becomes_champion(dataset: DatasetDir, tmp_path: Path) -> None:
    challenger = register(tmp_path / "a", dataset)
    told = judge("shop", "1", limits=LIMITS)
    assert (told.is_champion, champion(), tags("1")["gate"]) == (True, None, "passed")
    assert told.page is not None
    assert 'Version 1: <span class="passed">passed' in told.page.read_text()
    assert json.loads(told.page.with_suffix(".json").read_text())["decision"] == "passed"
    register(tmp_path / "b", dataset, 115, published_from(challenger))
    for _ in range(2):
        assert promote_as("shop", "2", "1").version == "2"
        assert champion() == "2"
    assert tags("2")["gate"] == "promoted as version 1 passed"
    assert tags("2")["gate_reason"] == tags("1")["gate_reason"]


def test_two_updates_of_one_bundle_are_made_alike(dataset: DatasetDir, tmp_path: Path) -> None:
    parent = register(tmp_path / "a", dataset, 90)
    promote("shop", limits=LIMITS)
    register(tmp_path / "b", dataset, 100, updated_from(parent))
    assert judge("shop", "2", limits=LIMITS).is_champion
    register(tmp_path / "c", dataset, 115, updated_from(parent))
    promote_as("shop", "3", "2")
    assert champion() == "3"


def test_a_bundle_that_was_made_otherwise_is_not_promoted(dataset: DatasetDir, tmp_path: Path) -> None:
    register(tmp_path / "a", dataset)
    register(tmp_path / "b", dataset, 115, published_from("somebody else"))
    with pytest.raises(ConfigError, match=r"Version 1 of shop has not passed the gate \(it was not asked\)"):
        promote_as("shop", "2", "1")
    judge("shop", "1", limits=LIMITS)
    with pytest.raises(ConfigError, match="neither published from version 1 nor updated from the same"):
        promote_as("shop", "2", "1")
    assert champion() is None


def test_what_was_refused_lets_nothing_pass(dataset: DatasetDir, tmp_path: Path) -> None:
    register(tmp_path / "a", dataset)
    promote("shop", limits=LIMITS)
    challenger = register(tmp_path / "b", dataset, fit=shop.shuffled)
    assert not judge("shop", "2", limits=LIMITS).is_champion
    register(tmp_path / "c", dataset, 115, published_from(challenger))
    with pytest.raises(ConfigError, match="has not passed"):
        promote_as("shop", "3", "2")
    assert champion() == "1"


def test_another_champion_since_needs_another_comparison(dataset: DatasetDir, tmp_path: Path) -> None:
    challenger = register(tmp_path / "a", dataset)
    judge("shop", "1", limits=LIMITS)
    register(tmp_path / "b", dataset, 90)
    promote("shop", "2", limits=LIMITS)
    register(tmp_path / "c", dataset, 115, published_from(challenger))
    with pytest.raises(BusyError, match="became champion"):
        promote_as("shop", "3", "1")
