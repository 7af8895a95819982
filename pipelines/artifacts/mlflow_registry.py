"""Registry: versions of a model at the MLflow store, and which of them is champion.

A version is a bundle in MLflow's own wrapping: `artifacts/bundle/` is the bundle as it was written, `pyfunc_model.py`
beside it lets `mlflow models serve` answer from it, `code/` holds the source of recsys_vae. The source travels along,
rather than a requirement on recsys-vae: a model then runs wherever its published requirements can be installed, on the
code it was made with, and no package index has to carry this project.
"""

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

import recsys_vae
from recsys_vae.bundles.bundle import ITEMS
from recsys_vae.bundles.manifest import MANIFEST, Manifest, library_versions, plugins_of
from recsys_vae.data.columns import ITEM, POPULARITY
from recsys_vae.errors import BundleError, UnknownNameError
from recsys_vae.frames import scan_table
from recsys_vae.tracking_store import check_model_name
from recsys_vae.training.tracking import MlflowTracker, answering, connect, mlflow_name

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.models import ModelSignature

CHALLENGER, CHAMPION = "challenger", "champion"
BUNDLE_PATH = "artifacts/bundle"
"""Where the bundle lies inside a logged model."""


@dataclass(frozen=True)
class Promotion:
    """What `promote` did.

    Attributes:
        name: registered model.
        version: champion now.
        previous: champion before; None where there was none.
        bundle: version of the bundle that it holds.
        warning: why this may not be what was meant; None where nothing speaks against it.
    """

    name: str
    version: str
    previous: str | None
    bundle: str
    warning: str | None


def register_bundle(tracker: MlflowTracker, bundle: Path, name: str, *, manifest: Manifest) -> str:
    """Log a bundle to the tracker's run, register it as the next version of `name`, and make that the challenger.

    Returns:
        The number of the version.

    Raises:
        ConfigError: no model can have that name.
        UnavailableError: the store does not answer.
    """
    check_model_name(name)
    with answering():
        model_id = _log_model(tracker, bundle, manifest)
        return _register(tracker, model_id, name, manifest)


def registered_version(client: "MlflowClient", name: str, bundle: str) -> str | None:
    """The latest version of a registered model that holds a bundle, which its version names; None where none does.

    Where a registration was cut off before its last word, the version becomes the challenger now.
    """
    with answering():
        held = [
            int(found.version)
            for found in client.search_model_versions(f"name='{name}'")
            if found.tags.get("bundle") == bundle
        ]
        if not held:
            return None
        version, aliases = max(held), aliases_of(client, name)
        if int(aliases.get(CHALLENGER, 0)) < version:
            client.set_registered_model_alias(name, CHALLENGER, str(version))
    return str(version)


def promote(name: str, version: str | None = None) -> Promotion:
    """Make a version the champion, whatever it is worth; without one, the challenger. `pipelines.promotion` asks first.

    Raises:
        UnknownNameError: no such model, no such version, or nothing is challenger.
        BundleError: the bundle of that version is gone.
        UnavailableError: the store does not answer.
    """
    client = connect()
    with answering():
        aliases = aliases_of(client, name)
        if version is None and CHALLENGER not in aliases:
            raise UnknownNameError(f"alias of model {name}", CHALLENGER, aliases)
        chosen = version or aliases[CHALLENGER]
        tags = tags_of(client, name, chosen)
        check_bundle(client, name, chosen)
        client.set_registered_model_alias(name, CHAMPION, chosen)
    return Promotion(name, chosen, aliases.get(CHAMPION), tags.get("bundle", "unknown"), _doubt(name, chosen, tags))


def check_bundle(client: "MlflowClient", name: str, version: str) -> None:
    """Refuse a version whose bundle should lie on this machine and does not; other places are not asked.

    Raises:
        BundleError: it is gone.
    """
    address = urlsplit(client.get_model_version_download_uri(name, version))
    bundle = Path(url2pathname(address.path)) / BUNDLE_PATH
    if address.scheme in ("", "file") and not (bundle / MANIFEST).is_file():
        raise BundleError(
            f"Version {version} of {name} has no bundle: {bundle} is not there. Put the folder back that RECSYS_HOME "
            "or the registry lay in, or register the bundle again."
        )


def requirements(plugins: Mapping[str, str] | None = None) -> list[str]:
    """What a served model needs installed: the libraries that its answers depend on, at the versions used here.

    Args:
        plugins: versions, by name, of other distributions that the model comes from.

    Build labels (`+cpu`) are left off; only the index of that build knows them.
    """
    versions = library_versions() | {"pandas": _installed("pandas"), "mlflow": _installed("mlflow")}
    versions |= plugins or {}
    versions.pop("recsys-vae", None)
    return [f"{library}=={version.partition('+')[0]}" for library, version in sorted(versions.items())]


def _log_model(tracker: MlflowTracker, bundle: Path, manifest: Manifest) -> str:
    """Upload the bundle as a model of the tracker's run; returns the model's id."""
    from mlflow.entities import LoggedModelOutput

    client = tracker.client
    logged = client.create_logged_model(tracker.experiment_id, manifest.version, tracker.run_id, _tags(manifest))
    try:
        with TemporaryDirectory(prefix="recsys-model-") as folder:
            _save_model(Path(folder), bundle, plugins_of(manifest), run_id=tracker.run_id, model_id=logged.model_id)
            client.log_model_artifacts(logged.model_id, str(Path(folder) / "model"))
    except BaseException:
        client.finalize_logged_model(logged.model_id, "FAILED")
        raise
    client.finalize_logged_model(logged.model_id, "READY")
    client.log_outputs(tracker.run_id, [LoggedModelOutput(logged.model_id, step=0)])
    return str(logged.model_id)


def _save_model(folder: Path, bundle: Path, plugins: Mapping[str, str], *, run_id: str, model_id: str) -> None:
    """Write MLflow's wrapping of the bundle to `folder/model`."""
    import pandas as pd
    from mlflow import pyfunc
    from mlflow.models import Model

    source = folder / "source" / "bundle"  # MLflow keeps the name of the directory, whatever the key below
    shutil.copytree(bundle, source, copy_function=_link)
    pyfunc.save_model(
        folder / "model",
        python_model=str(Path(__file__).with_name("pyfunc_model.py")),
        artifacts={"bundle": str(source)},
        code_paths=[str(Path(recsys_vae.__file__).parent)],
        pip_requirements=requirements(plugins),
        signature=_signature(),
        input_example=pd.DataFrame({"history": [_favourites(bundle)], "k": [5]}),
        mlflow_model=Model(run_id=run_id, model_uuid=model_id, model_id=model_id),
    )


def _link(file: str, place: str) -> None:
    """A hard link where the file system has them across these places, else a copy."""
    try:
        os.link(file, place)
    except OSError:
        shutil.copy2(file, place)


def _signature() -> "ModelSignature":
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, Schema
    from mlflow.types.schema import AnyType, Array, Map

    ids = Array(DataType.string)
    inputs = Schema(
        [
            ColSpec(ids, "history"),
            ColSpec(DataType.long, "k", required=False),
            ColSpec(Array(DataType.double), "weights", required=False),
            ColSpec(ids, "dislikes", required=False),
            ColSpec(Map(AnyType()), "metadata", required=False),  # type: ignore[no-untyped-call]
        ]
    )
    outputs = Schema(
        [
            ColSpec(ids, "item_ids"),
            ColSpec(Array(DataType.double), "scores"),
            ColSpec(DataType.string, "tier"),
            ColSpec(ids, "unknown_items"),
        ]
    )
    return ModelSignature(inputs, outputs)


def _favourites(bundle: Path) -> list[str]:
    """Up to three of the most popular items, as an example of a history."""
    table = scan_table(bundle / ITEMS).select(ITEM, POPULARITY)
    return table.top_k(3, by=POPULARITY).collect()[ITEM].to_list()


def _register(tracker: MlflowTracker, model_id: str, name: str, manifest: Manifest) -> str:
    from mlflow.exceptions import MlflowException

    client = tracker.client
    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    # Not models:/ID: MLflow's own SQLite store resolves that at its global tracking address, which may be another one.
    source = client.get_logged_model(model_id).artifact_location
    created = client.create_model_version(name, source, tracker.run_id, tags=_tags(manifest), model_id=model_id)
    client.set_registered_model_alias(name, CHALLENGER, created.version)
    return str(created.version)


def _tags(manifest: Manifest) -> dict[str, str]:
    origin = manifest.provenance
    told = {"bundle": manifest.version, "dataset": origin.dataset, "trained_on": origin.trained_on}
    told |= {"metrics_on": origin.metrics_on}
    return told | {mlflow_name(name): f"{value:.6g}" for name, value in origin.metrics.items()}


def aliases_of(client: "MlflowClient", name: str) -> dict[str, str]:
    """Version by alias of a registered model.

    Raises:
        UnknownNameError: there is no such model.
    """
    from mlflow.exceptions import MlflowException

    try:
        return {alias: str(version) for alias, version in client.get_registered_model(name).aliases.items()}
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        known = [model.name for model in client.search_registered_models()]
        raise UnknownNameError("registered model", name, known) from error


def tags_of(client: "MlflowClient", name: str, version: str) -> dict[str, str]:
    """Tags of a version.

    Raises:
        UnknownNameError: there is no such version.
    """
    known = {str(found.version): found.tags for found in client.search_model_versions(f"name='{name}'")}
    if version not in known:
        raise UnknownNameError(f"version of model {name}", version, known)
    return dict(known[version])


def _doubt(name: str, version: str, tags: Mapping[str, Any]) -> str | None:
    trained_on = tags.get("trained_on")
    if trained_on == "all":
        return None
    return (
        f"Version {version} of {name} was trained on {trained_on or 'an unknown part of the data'}, not on all of it. "
        "`recsys publish` trains the same model on all data."
    )


def _installed(library: str) -> str:
    from importlib.metadata import version

    return version(library)
