import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from recsys_vae.bundles.bundle import Bundle
from recsys_vae.errors import BundleCorruptError, BundleError, DataError, UnavailableError
from service.deployment.bundle_sources import (
    fetched,
    find_bundle,
    is_alias,
    is_model,
    open_catalogue,
    resolved,
    warmed_up,
)
from tests.buckets import own_bucket


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The address of an MLflow store of this test's own."""
    address = f"sqlite:///{tmp_path / 'mlflow.db'}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    return address


def test_a_directory_is_opened_verified_and_warm(bundle_path: Path) -> None:
    assert open_catalogue(str(bundle_path)).version.startswith("ease-")


@pytest.mark.parametrize("file", ["weights.safetensors", "items.parquet", "manifest.json"])
@pytest.mark.parametrize("damage", ["missing", "cut short", "one byte changed"])
def test_a_damaged_bundle_is_refused(bundle_path: Path, tmp_path: Path, file: str, damage: str) -> None:
    copy = shutil.copytree(bundle_path, tmp_path / "copy")
    content = bytearray((copy / file).read_bytes())
    content[len(content) // 2] ^= 1
    if damage == "missing":
        (copy / file).unlink()
    else:
        (copy / file).write_bytes(content[:-1] if damage == "cut short" else content)
    with pytest.raises(BundleCorruptError):
        open_catalogue(str(copy))


def test_a_bundle_without_a_finite_answer_is_refused(bundle_path: Path) -> None:
    bundle = Bundle.load(bundle_path)
    with pytest.raises(BundleError, match="no finite answer on its tier 'popular'"):
        warmed_up(replace(bundle, popularity=np.full(len(bundle.items), np.nan, dtype=np.float32)))


def test_the_one_bundle_below_a_folder_is_found(bundle_path: Path, tmp_path: Path) -> None:
    shutil.copytree(bundle_path, tmp_path / "model" / "artifacts" / "bundle")
    assert find_bundle(tmp_path, "models:/m@a") == tmp_path / "model" / "artifacts" / "bundle"
    shutil.copytree(bundle_path, tmp_path / "model" / "other")
    with pytest.raises(BundleCorruptError, match=r"models:/m@a holds 2 bundles"):
        find_bundle(tmp_path, "models:/m@a")


def test_a_model_uri_is_downloaded_and_cleared_away(bundle_path: Path, tmp_path: Path, registry: str) -> None:
    model = tmp_path / "model"
    shutil.copytree(bundle_path, model / "artifacts" / "bundle")
    with fetched(model.as_uri()) as directory:
        assert directory != model / "artifacts" / "bundle"
        assert warmed_up(Bundle.load(directory)).bundle.version.startswith("ease-")
    assert not directory.exists()


def test_a_bundle_is_taken_from_a_bucket(bundle_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with own_bucket(monkeypatch) as bucket:
        for file in bundle_path.iterdir():
            bucket.put(f"bundles/today/{file.name}", file.read_bytes())
        assert open_catalogue(f"{bucket.address}/bundles/today").version.startswith("ease-")
        with pytest.raises(DataError, match="There is nothing at"):
            open_catalogue(f"{bucket.address}/bundles/tomorrow")


def test_a_registry_that_was_never_made_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("RECSYS_HOME", str(tmp_path))
    with pytest.raises(BundleError, match="no MLflow store"):
        open_catalogue("models:/movies@champion")
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_a_registered_model_is_opened_by_alias_and_an_unknown_one_is_refused(
    bundle_path: Path, tmp_path: Path, registry: str
) -> None:
    from mlflow import MlflowClient

    shutil.copytree(bundle_path, tmp_path / "model" / "artifacts" / "bundle")
    client = MlflowClient(registry)
    client.create_registered_model("movies")
    version = client.create_model_version("movies", source=(tmp_path / "model").as_uri())
    client.set_registered_model_alias("movies", "champion", version.version)
    assert resolved("models:/movies@champion") == "models:/movies/1"
    assert open_catalogue("models:/movies/1").version.startswith("ease-")
    for unknown in ("models:/movies@nobody", "models:/nothing/7"):
        with pytest.raises(UnavailableError, match=f"MLflow does not hand out {unknown}"):
            open_catalogue(resolved(unknown))


def test_a_source_leads_to_the_directory_behind_its_links(bundle_path: Path, tmp_path: Path) -> None:
    (tmp_path / "current").symlink_to(bundle_path)
    assert resolved(str(tmp_path / "current")) == resolved(str(bundle_path)) == str(bundle_path.resolve())
    assert resolved("models:/movies/3") == "models:/movies/3"


@pytest.mark.parametrize(
    ("source", "kind"),
    [
        ("bundles/a", (False, False)),
        ("/a:b/c", (False, False)),
        ("models:/movies/3", (True, False)),
        ("models:/movies@champion", (True, True)),
        ("file:///m", (True, False)),
        ("s3://m/a@b", (True, False)),
    ],
)
def test_addresses_are_told_from_paths_and_aliases_from_versions(source: str, kind: tuple[bool, bool]) -> None:
    assert (is_model(source), is_alias(source)) == kind
