"""Versions of a registered model: old ones go, with the artifacts that MLflow would keep without end.

Deleting a version leaves its logged model, and deleting that marks it and leaves its artifacts on disk (MLflow 3):
`mlflow gc` takes these, and can do so without a server only. So the artifacts go first, then the model, then the
version: whatever is cut off in between is gone on with by the next call. Runs, metrics and pages at MLflow stay.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

from pipelines.artifacts.mlflow_registry import aliases_of
from pipelines.promotion.champions import champions, deciding
from pipelines.promotion.contenders import twin_of
from pipelines.promotion.registered_bundles import registered_bundle
from pipelines.retention.removal import Limits, Removal, size_of
from recsys_vae.bundles.manifest import read_manifest
from recsys_vae.errors import BundleError, BusyError, UnavailableError
from recsys_vae.tracking_store import tracking_uri
from recsys_vae.training.tracking import answering

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

VERSIONS = "registered versions"
MARKER = "MLmodel"
"""File by which the artifacts of a logged model are known."""
_MODEL = re.compile(r"/models/(m-[0-9a-f]+)/artifacts/?$")


def old_versions(client: "MlflowClient", name: str, limits: Limits) -> Iterator[Removal]:
    """Versions past their limits: not among the newest, without an alias, and none that a rollback may go back to.

    Raises:
        UnknownNameError: there is no such model.
        UnavailableError: the store does not answer.
    """
    line = champions(client, name)
    with answering():
        found = {str(one.version): one for one in client.search_model_versions(f"name='{name}'")}
        aliased = set(aliases_of(client, name).values())
    newest = sorted(found, key=int)[-limits.versions :] if limits.versions else []
    kept = {*newest, *aliased, *_former(line, found, limits)}
    kept |= _twins(client, name, kept & set(line), found)
    for version in sorted(found.keys() - kept, key=int):
        yield Removal(VERSIONS, f"{name}/{version}", _size(found[version]), _removing(client, found[version]))


def _former(line: list[str], found: dict[str, "ModelVersion"], limits: Limits) -> set[str]:
    """Champions of before within their age, and the last of them whatever its age."""
    oldest = 1000 * limits.oldest.timestamp()
    return {*line[-2:], *(version for version in line if found[version].creation_timestamp >= oldest)}


def _twins(client: "MlflowClient", name: str, kept: set[str], found: dict[str, "ModelVersion"]) -> set[str]:
    """Versions that champions are compared by, as their own bundle has seen everything."""
    wanted = set()
    for version in kept:
        try:
            with registered_bundle(client, name, version) as bundle:
                wanted.add(twin_of(read_manifest(bundle)))
        except BundleError:
            continue
    return {version for version, one in found.items() if one.tags.get("bundle") in wanted - {None}}


def _size(version: "ModelVersion") -> int:
    folder = _local(version.source)
    return 0 if folder is None else size_of([folder])


def _local(source: str | None) -> Path | None:
    """Artifacts as a folder of this machine; None where they lie elsewhere."""
    address = urlsplit(source or "")
    return Path(url2pathname(address.path)) if source and address.scheme in ("", "file") else None


def _removing(client: "MlflowClient", version: "ModelVersion") -> Any:
    def remove() -> str:
        try:
            with deciding(version.name):
                return _remove(client, version)
        except (UnavailableError, BusyError) as error:
            return str(error)

    return remove


def _remove(client: "MlflowClient", version: "ModelVersion") -> str:
    with answering():
        if version.version in aliases_of(client, version.name).values():
            return "somebody has given it an alias meanwhile"
        others = client.search_model_versions(f"source_path = '{version.source}'") if version.source else []
        if len(others) <= 1:
            _remove_artifacts(client, version)
        client.delete_model_version(version.name, str(version.version))
    return ""


def _remove_artifacts(client: "MlflowClient", version: "ModelVersion") -> None:
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    source, folder = version.source or "", _local(version.source)
    if source and (folder is None or (folder / MARKER).is_file()):
        repository: Any = get_artifact_repository(source, tracking_uri=tracking_uri())
        repository.delete_artifacts()
    if (model := _logged_model(client, version)) is not None:
        client.delete_logged_model(model)


def _logged_model(client: "MlflowClient", version: "ModelVersion") -> str | None:
    """The logged model that a version is of: MLflow's own database keeps its address, and not its id."""
    from mlflow.exceptions import MlflowException

    named = _MODEL.search(version.source or "")
    model_id = version.model_id or (named[1] if named else None)
    if model_id is None:
        return None
    try:
        location = client.get_logged_model(model_id).artifact_location
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":  # an earlier call came as far as that
            raise
        return None
    return model_id if location.rstrip("/") == (version.source or "").rstrip("/") else None
