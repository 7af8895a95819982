"""Whichever command writes a bundle once more, no part of it is lost, and what its manifest says stays said."""

from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path

import polars as pl
import pytest
from typer.testing import CliRunner

from pipelines.cli import build
from pipelines.dataset.directory import DatasetDir
from pipelines.dataset.fields import Fields
from pipelines.dataset.split_recipes import recipe
from pipelines.dataset.splits import make_split
from recsys_vae.bundles.additions import with_ranker
from recsys_vae.bundles.bundle import Bundle
from recsys_vae.bundles.manifest import Manifest, Provenance, describe, read_manifest
from recsys_vae.bundles.second_stage import ModelPart
from recsys_vae.data.features import Field
from tests.pipelines.datasets_of_tastes import dataset_of_tastes, with_user_metadata
from tests.pipelines.training.test_kept_parts import write
from tests.second_stages import NEEDS_LIGHTGBM, candidates_of, latest_first

pytestmark = NEEDS_LIGHTGBM
EVERYTHING = {
    "weights.safetensors", "items.parquet", "index.faiss", "user_schema.json", "segments.safetensors",
    "item_schema.json", "content.safetensors", "lists.json", "lists.safetensors", "neighbours.safetensors",
    "repeat.safetensors", "ranker.json", "ranker.txt", "ranker-1.safetensors",
}  # fmt: skip
"""All files that a bundle may have beside its manifest; a new kind belongs here."""
COMMANDS: dict[str, Callable[[Path, Path], tuple[str, ...]]] = {
    "learn-repeats": lambda bundle, data: (str(bundle), str(data)),
    "learn-ranker": lambda bundle, data: (
        str(bundle), str(data), "--with", str(bundle.parent / "beside"), "--trees-of", str(bundle),
    ),
    "publish": lambda bundle, data: (str(bundle.parent / "measured"), str(data), "--new-items"),
    "update": lambda bundle, data: (str(bundle), str(data), "--set", "epochs=1"),
}  # fmt: skip


def recsys(*arguments: str) -> None:
    done = CliRunner().invoke(build(), list(arguments))
    assert done.exit_code == 0, f"{done.output} {done.exception!r}"


@pytest.fixture
def dataset(mlflow_home: Path) -> DatasetDir:
    made = with_user_metadata(dataset_of_tastes(mlflow_home / "datasets" / "tastes", 70))
    write(made, 60)
    items = pl.read_parquet(made.items_path).with_columns(
        side=pl.when(pl.int_range(pl.len()) % 2 == 0).then(pl.lit("a"))
    )
    pl.concat([items, items.head(1).with_columns(item_id=pl.lit("zz-new"), side=pl.lit("a"))]).write_parquet(
        made.items_path
    )
    Fields(Fields.read(made.fields_path).users, (Field("side", "category"),)).write(made.fields_path)
    make_split(made, recipe("strong", heldout=10, min_items=4, fold_in=0.5), "again")
    return made


def with_everything(bundle: Path, beside: Path) -> None:
    """With a second stage by hand."""
    other = Bundle.load(beside)
    found = latest_first(candidates_of(Bundle.load(bundle), [other.model]), "popularity")
    with_ranker(bundle, bundle, found, [ModelPart.of(other.manifest)])


@pytest.fixture
def full(dataset: DatasetDir, tmp_path: Path) -> Path:
    """A published bundle with everything that a bundle may have."""
    data, small = str(dataset.path), ("--set", "hidden=8", "--epochs", "2", "--batch-size", "16")
    aged = ("--history-half-life", "30", "--half-life", "20", "--split", "again")
    recsys("train", data, "--model", "mult-dae", *small, *aged, "--to", str(tmp_path / "measured"))
    recsys("train", data, "--model", "mult-dae", *small, *aged, "--to", str(tmp_path / "second"))
    with_everything(tmp_path / "measured", tmp_path / "second")
    recsys("learn-repeats", str(tmp_path / "measured"), data, "--to", str(tmp_path / "measured"))
    recsys("publish", str(tmp_path / "measured"), data, "--new-items", "--to", str(tmp_path / "shipped"))
    recsys("publish", str(tmp_path / "second"), data, "--new-items", "--to", str(tmp_path / "beside"))
    return tmp_path / "shipped"


def told(manifest: Manifest) -> set[str]:
    """Names of what a manifest says something of."""
    found = {f"provenance.{one.name}" for one in fields(Provenance) if getattr(manifest.provenance, one.name)}
    return found | {one.name for one in fields(Manifest) if getattr(manifest, one.name)}


def test_no_command_loses_a_part(dataset: DatasetDir, full: Path, tmp_path: Path) -> None:
    before = read_manifest(full)
    assert set(before.files) == EVERYTHING
    assert before.signals == {"half_life": 30.0}
    assert before.provenance.decay["half_life"] == 20.0
    for verb, arguments in COMMANDS.items():
        if verb == "update":
            write(dataset, 70)
        recsys(verb, *arguments(full, dataset.path), "--to", str(tmp_path / verb))
        after = Bundle.load(tmp_path / verb).manifest
        assert set(after.files) == EVERYTHING, verb
        assert told(after) >= told(before), verb
        assert (after.signals, after.model, after.settings) == (before.signals, before.model, before.settings), verb
        assert after.index["kind"] == before.index["kind"], verb
        assert after.provenance.decay == before.provenance.decay, verb
        assert after.ladder.keys() == before.ladder.keys(), verb
        assert after.libraries.keys() == before.libraries.keys(), verb
        again = describe(
            tmp_path / verb, model=after.model, settings=after.settings, n_items=after.n_items, index=after.index,
            provenance=after.provenance, ladder=after.ladder, signals=after.signals,
        )  # fmt: skip
        assert after.version == again.version, verb  # of all that decides what is answered, the signals among it


def test_what_a_bundle_is_known_by_changes_with_its_signals(full: Path) -> None:
    manifest = read_manifest(full)
    other = describe(
        full, model=manifest.model, settings=manifest.settings, n_items=manifest.n_items, index=manifest.index,
        provenance=manifest.provenance, ladder=manifest.ladder, signals={},
    )  # fmt: skip
    assert other.version != manifest.version
    assert replace(other, version="", signals={}).files == manifest.files
