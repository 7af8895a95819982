"""What `recsys ui` shows where it is not told: by what the manifests say."""

from dataclasses import replace
from pathlib import Path
from shutil import copytree

import numpy as np
import pytest
from scipy.sparse import csr_array

from recsys_vae.bundles.bundle import write_bundle
from recsys_vae.bundles.manifest import MANIFEST, Provenance, read_manifest, write_manifest
from recsys_vae.data.ids import IdMap
from recsys_vae.errors import ConfigError
from recsys_vae.models import catalog
from service.cli.ui_bundles import dataset_of, newest_bundle, variants_of


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RECSYS_HOME", str(tmp_path))
    return tmp_path


def bundle(folder: Path, dataset: str, created_at: str) -> Path:
    model = catalog.create("popularity", 2, None)
    model.fit(csr_array(np.ones((1, 2), np.float32)))
    ids = IdMap.from_values(["a", "b"])
    write_bundle(folder, model, ids, popularity=np.ones(2), provenance=Provenance(dataset=dataset))
    manifest = read_manifest(folder)
    write_manifest(folder, replace(manifest, created_at=created_at))
    return folder


def test_the_newest_of_the_dataset_is_found_and_nothing_else(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bundle(home / "bundles" / "old", "shop", "2026-01-01T00:00:00+00:00")
    newest = bundle(home / "deep" / "er" / "new", "shop", "2026-03-01T00:00:00+00:00")
    bundle(home / "bundles" / "other", "films", "2026-04-01T00:00:00+00:00")
    later = bundle(home / ".hidden" / "copy", "shop", "2026-05-01T00:00:00+00:00")
    copytree(later, home / "mlartifacts" / "copy")
    (home / "bundles" / "damaged").mkdir()
    (home / "bundles" / "damaged" / MANIFEST).write_text("{")
    assert newest_bundle("shop") == newest
    monkeypatch.chdir(home / "deep")
    here = bundle(Path("bundles") / "mine", "shop", "2026-03-02T00:00:00+00:00")
    assert newest_bundle("shop") in (here, here.resolve())
    with pytest.raises(ConfigError, match=r"No bundle under .* has learned from dataset 'none'.*recsys train none"):
        newest_bundle("none")


def test_the_dataset_is_that_of_the_bundles_or_the_only_one(home: Path) -> None:
    with pytest.raises(ConfigError, match=r"there is none under .*recsys ingest"):
        dataset_of([])
    for name in ("films", "shop"):
        (home / "datasets" / name).mkdir(parents=True)
        (home / "datasets" / name / "interactions.parquet").touch()
        if name == "films":
            assert dataset_of([]) == "films"
    with pytest.raises(ConfigError, match="there are films, shop"):
        dataset_of([])
    one, other = (bundle(home / name, name, "2026-01-01T00:00:00+00:00") for name in ("shop", "films"))
    assert dataset_of([one]) == "shop"
    with pytest.raises(ConfigError, match="have learned from films, shop"):
        dataset_of([one, other])


def test_variants_are_named_by_folders_and_told_apart() -> None:
    found = variants_of([Path("a/ease"), Path("b/ease"), Path("c/my bundle/é"), Path("x" * 100)])
    assert [one.name for one in found] == ["ease", "ease-2", "-", "x" * 60]
    assert {one.weight for one in found} == {1.0}
