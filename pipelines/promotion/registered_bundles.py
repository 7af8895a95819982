"""Registered bundles: a version's bundle as a folder of this machine, wherever the store keeps it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING
from urllib.parse import urlsplit
from urllib.request import url2pathname

from pipelines.artifacts.mlflow_registry import BUNDLE_PATH, check_bundle
from pipelines.promotion.contenders import Contender, twin_of
from recsys_vae.bundles.manifest import read_manifest
from recsys_vae.errors import BundleError
from recsys_vae.tracking_store import tracking_uri
from recsys_vae.training.tracking import answering

if TYPE_CHECKING:
    from mlflow import MlflowClient


@contextmanager
def registered_bundle(client: "MlflowClient", name: str, version: str) -> Iterator[Path]:
    """The bundle of a version; one of a remote store is there as long as the context lasts.

    Raises:
        BundleError: it is gone.
        UnavailableError: the store does not hand it out.
    """
    with answering():
        check_bundle(client, name, version)
        place = client.get_model_version_download_uri(name, version)
    address = urlsplit(place)
    if address.scheme in ("", "file"):
        yield Path(url2pathname(address.path)) / BUNDLE_PATH
        return
    with TemporaryDirectory(prefix="recsys-bundle-", ignore_cleanup_errors=True) as folder:
        yield _downloaded(place, folder)


def contender(client: "MlflowClient", name: str, version: str) -> Contender:
    """A version as a contender, with the bundle that it was published from where the store has that.

    Raises:
        BundleError: its bundle is gone or damaged.
    """
    with registered_bundle(client, name, version) as bundle:
        wanted = twin_of(read_manifest(bundle))
        held = None if wanted is None else _version_of(client, name, wanted)
        if held is None:
            return Contender.open(bundle)
        try:
            with registered_bundle(client, *held) as twin:
                return Contender.open(bundle, twin)
        except BundleError:  # the twin's folder is gone or damaged: the bundle itself may be all that is needed
            return Contender.open(bundle)


def _version_of(client: "MlflowClient", name: str, bundle: str) -> tuple[str, str] | None:
    """Name and number of a version that holds a bundle, under the same name if there is one."""
    with answering():
        found = client.search_model_versions(f"tags.bundle = '{bundle}'")
    held = sorted(((one.name, str(one.version)) for one in found), key=lambda one: one[0] != name)
    return held[0] if held else None


def _downloaded(place: str, folder: str) -> Path:
    import mlflow

    with answering():
        found = mlflow.artifacts.download_artifacts(
            artifact_uri=f"{place.rstrip('/')}/{BUNDLE_PATH}", dst_path=folder, tracking_uri=tracking_uri()
        )
    return Path(found)
