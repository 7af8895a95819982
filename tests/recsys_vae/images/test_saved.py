import json
from hashlib import sha256
from pathlib import Path

import pytest
import torch

from recsys_vae.bundles.bundle import Bundle, write_bundle
from recsys_vae.bundles.manifest import MANIFEST, Provenance, file_hash, write_manifest
from recsys_vae.errors import BundleCorruptError, BundleVersionError, ConfigError
from recsys_vae.images.models import catalog
from recsys_vae.images.saved import HISTORY, WEIGHTS, Origin, load_image_model, read_image_manifest, save_image_model
from tests.recsys_vae.images.small import SHAPE, SMALL, images, labels, untrained
from tests.worlds import two_tastes
from tests.worlds import untrained as recommender

ORIGIN = Origin(dataset="digits", labels=["zero", "one"], pixels="static", epochs=3, metrics={"loss": 1.5})
HISTORY_OF_TWO = [{"loss": 2.0}, {"loss": 1.5}]


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    save_image_model(tmp_path / "model", untrained("ae"), ORIGIN, HISTORY_OF_TWO)
    return tmp_path / "model"


@pytest.mark.parametrize("name", list(catalog.CATALOG))
def test_every_model_comes_back_as_it_was(tmp_path: Path, name: str) -> None:
    model = untrained(name)
    manifest = save_image_model(tmp_path / name, model, ORIGIN)
    loaded = load_image_model(tmp_path / name)
    assert loaded.manifest == manifest
    assert loaded.model.config == SMALL[name]
    assert not loaded.model.training
    x, y = images(), labels(model)
    assert torch.equal(loaded.model(x, y), model.eval()(x, y))  # type: ignore[operator]


def test_the_manifest_says_where_the_model_comes_from(saved: Path) -> None:
    loaded = load_image_model(saved)
    assert loaded.manifest.origin == ORIGIN
    assert loaded.manifest.shape == SHAPE
    assert loaded.manifest.libraries["torch"] == torch.__version__
    assert loaded.history == HISTORY_OF_TWO
    assert loaded.manifest.version.startswith("ae-")


def test_saving_again_replaces_the_whole(saved: Path) -> None:
    save_image_model(saved, untrained("conv-ae"), ORIGIN)
    assert sorted(path.name for path in saved.iterdir()) == sorted([HISTORY, MANIFEST, WEIGHTS])
    assert load_image_model(saved).manifest.model == "conv-ae"


def test_saving_again_beside_a_strangers_file_is_refused(saved: Path) -> None:
    (saved / "stray").write_text("")
    with pytest.raises(ConfigError, match="stray in it is no part of an image model"):
        save_image_model(saved, untrained("conv-ae"), ORIGIN)
    assert load_image_model(saved).manifest.model != "conv-ae"


@pytest.mark.parametrize("name", [WEIGHTS, HISTORY, MANIFEST])
def test_a_file_that_was_altered_or_lost_is_named(saved: Path, name: str) -> None:
    whole = (saved / name).read_bytes()
    altered = {
        WEIGHTS: whole[:-1],
        HISTORY: whole.replace(b"1.5", b"1.4"),
        MANIFEST: whole.replace(b"digits", b"digit5"),
    }
    (saved / name).write_bytes(altered[name])
    with pytest.raises(BundleCorruptError, match=name):
        load_image_model(saved)
    (saved / name).unlink()
    with pytest.raises(BundleCorruptError, match=name):
        load_image_model(saved)


def rewritten(directory: Path, **changes: object) -> None:
    """Change the manifest, with a checksum that fits."""
    import dataclasses

    write_manifest(directory, dataclasses.replace(read_image_manifest(directory), **changes))  # type: ignore[arg-type]


def test_weights_of_another_configuration_are_refused(saved: Path) -> None:
    rewritten(saved, settings={"hidden": "17"})
    with pytest.raises(BundleCorruptError, match="contradicts"):
        load_image_model(saved)


def test_another_format_is_refused(saved: Path) -> None:
    rewritten(saved, format_version=99)
    with pytest.raises(BundleVersionError, match="99"):
        load_image_model(saved)


def test_a_manifest_that_lacks_something_is_refused(saved: Path) -> None:
    rewritten(saved, shape=(1, 8))
    with pytest.raises(BundleCorruptError, match="missing"):
        load_image_model(saved)


def test_what_a_newer_version_says_is_passed_over_in_the_origin_and_refused_elsewhere(saved: Path) -> None:
    content = json.loads((saved / MANIFEST).read_text())
    del content["checksum"]

    def rewrite(**changes: object) -> None:
        checksum = sha256(json.dumps(content | changes, sort_keys=True).encode()).hexdigest()
        (saved / MANIFEST).write_text(json.dumps(content | changes | {"checksum": checksum}))

    rewrite(origin={"dataset": "digits", "weather": "fine"})
    assert load_image_model(saved).manifest.origin.dataset == "digits"
    for changes in ({"temperature": 0.7}, {"settings": {"temperature": 0.7}}):
        rewrite(**changes)
        with pytest.raises(BundleVersionError, match=r"another version: .*'temperature'"):
            load_image_model(saved)


def test_a_bundle_is_no_image_model_and_the_other_way_round(saved: Path, tmp_path: Path) -> None:
    world, bundle = two_tastes(), tmp_path / "bundle"
    model = recommender("popularity", 12)
    write_bundle(bundle, model, world.items, popularity=world.item_counts(), provenance=Provenance())
    with pytest.raises(BundleCorruptError, match="not an image model"):
        load_image_model(bundle)
    with pytest.raises(BundleCorruptError, match="not a bundle"):
        Bundle.load(saved)
    with pytest.raises(BundleCorruptError, match="not an image model"):
        load_image_model(tmp_path / "nowhere")


def test_every_file_is_listed_with_its_hash(saved: Path) -> None:
    listed = json.loads((saved / MANIFEST).read_text())["files"]
    assert listed == {name: file_hash(saved / name) for name in (HISTORY, WEIGHTS)}
