"""Second stages whose order is known: trees written by hand."""

import os
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from recsys_vae.bundles.additions import with_ranker
from recsys_vae.bundles.bundle import Bundle
from recsys_vae.bundles.second_stage import ModelPart, counted_columns
from recsys_vae.models import catalog
from recsys_vae.protocols import Recommender
from recsys_vae.second_stage.candidates import Candidates
from recsys_vae.second_stage.item_columns import ItemColumns, number_columns, value_columns
from recsys_vae.second_stage.ranker import Ranker
from recsys_vae.second_stage.trees import Trees

NEEDS_LIGHTGBM = pytest.mark.skipif(
    find_spec("lightgbm") is None and os.environ.get("CI") != "true",
    reason="LightGBM is not installed (the extra ranker)",
)


def steps(feature: int, thresholds: Sequence[float], rise: float = 1.0) -> str:
    """Trees that add `rise` for each threshold which a feature is above, in LightGBM's text."""
    trees = [
        f"Tree={number}\nnum_leaves=2\nnum_cat=0\nsplit_feature={feature}\nthreshold={threshold!r}\ndecision_type=2\n"
        f"left_child=-1\nright_child=-2\nleaf_value=0 {rise!r}\nshrinkage=1\n\n"
        for number, threshold in enumerate(thresholds)
    ]
    return "\n".join(["tree", "version=v4", "", *trees, "end of trees", ""])


def candidates_of(bundle: Bundle, further: Sequence[Recommender] = (), depth: int = 3) -> Candidates:
    """By all columns of the items of a bundle."""
    table: pl.DataFrame = bundle.item_table
    counted = counted_columns(bundle.shelves.lists, bundle.popularity)
    columns = ItemColumns.of(table, counted, [*counted, *number_columns(table)], value_columns(table))
    return Candidates(bundle.manifest.model, [(catalog.name_of(model), model) for model in further], columns, depth)


def latest_first(candidates: Candidates, column: str = "year") -> Ranker:
    """A second stage that goes by one number of the items alone, the highest first."""
    values = np.unique(candidates.columns.numbers[column])
    return Ranker(candidates, Trees(steps(candidates.names.index(column), values[:-1].tolist()), len(candidates.names)))


def with_latest_first(path: Path, to: Path, further: Sequence[Recommender] = (), depth: int = 3) -> Path:
    """A bundle with that second stage."""
    found = latest_first(candidates_of(Bundle.load(path), further, depth))
    with_ranker(path, to, found, [ModelPart(catalog.name_of(model), {}, "made-by-hand") for model in further])
    return to
