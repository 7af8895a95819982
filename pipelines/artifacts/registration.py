"""Registration: the last step of a training, on its own. A bundle that is complete can be registered at any time.

It is what `recsys register` does, and what `recsys train` and `recsys publish` do where the bundle that they are asked
for stands there already and its registration failed or was cut off.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pipelines.artifacts.mlflow_registry import register_bundle, registered_version
from pipelines.artifacts.workspace import clear_workspace, workspace_of
from recsys_vae.bundles.manifest import Manifest, Provenance, read_manifest, verify_files
from recsys_vae.errors import BundleError, ConfigError, UnavailableError
from recsys_vae.tracking_store import check_model_name
from recsys_vae.training.tracking import MlflowTracker, answering, connect, mlflow_name, tracked_run


@dataclass(frozen=True)
class Registration:
    """A bundle at the registry.

    Attributes:
        manifest: of the bundle.
        name: of the registered model.
        version: of that, in which the bundle lies.
        is_new: whether it was made now.
    """

    manifest: Manifest
    name: str
    version: str
    is_new: bool


def register(bundle: Path, name: str | None = None, *, dry_run: bool = False) -> Registration:
    """Register a bundle on disk, in the run that made it; what is registered already stays as it is.

    Args:
        name: of the registered model; that of the bundle's dataset when None.
        dry_run: look, and change nothing; a version that would be made has no number yet, "".

    Raises:
        BundleError: there is no bundle, or a damaged one.
        ConfigError: the name cannot be a model's.
        UnavailableError: the store does not answer.
    """
    manifest = read_manifest(bundle)
    verify_files(bundle, manifest)
    name = name or manifest.provenance.dataset
    if not name:
        raise ConfigError(f"{bundle} does not say which dataset it learned from. Name the model: --as NAME.")
    check_model_name(name)
    found = registered_version(connect(), name, manifest.version)
    if dry_run:
        return Registration(manifest, name, found or "", is_new=found is None)
    version = found or _register(bundle, name, manifest)
    clear_workspace(workspace_of(bundle))
    return Registration(manifest, name, version, is_new=found is None)


def register_challenger(bundle: Path, name: str | None) -> None:
    """Register a bundle that was written just now, and say so; nothing where no model is named."""
    if name is not None:
        with registering(bundle, name):
            done = register(bundle, name)
        print(f"registered  models:/{name}/{done.version}  (alias challenger)", flush=True)


def complete_registration(path: Path, name: str, is_asked_for: Callable[[Manifest], bool]) -> Registration | None:
    """Register the bundle that stands at an output, where it is the one asked for and its registration is missing.

    Returns:
        What was registered; None where nothing was missing, or nothing or another bundle stands there.
    """
    try:
        manifest = read_manifest(path)
    except BundleError:
        return None
    if not is_asked_for(manifest) or registered_version(connect(), name, manifest.version):
        return None
    return register(path, name)


@contextmanager
def registering(bundle: Path, name: str) -> Iterator[None]:
    """Say what to do where a registration fails: the bundle is there, and nothing needs to be computed again.

    Raises:
        UnavailableError: it failed.
    """
    try:
        yield
    except (ConfigError, UnavailableError) as error:
        raise UnavailableError(
            f"{error} The bundle is complete and not registered: recsys register {bundle} --as {name}, or the same "
            "command again, makes up for it."
        ) from error


def log_outcome(tracker: MlflowTracker, provenance: Provenance) -> None:
    """Tell a run what its bundle says of itself, unless it knows."""
    tracker.log_parameters({"dataset_fingerprint": provenance.dataset_fingerprint})
    with answering():
        known = tracker.client.get_run(tracker.run_id).data.metrics
    figures = {key: value for key, value in provenance.metrics.items() if mlflow_name(key) not in known}
    if figures:
        tracker.log_metrics(figures, provenance.epochs)


def _register(bundle: Path, name: str, manifest: Manifest) -> str:
    origin = manifest.provenance
    with tracked_run(origin.dataset or name, manifest.model, run_id=origin.run_id) as tracker:
        log_outcome(tracker, origin)
        return register_bundle(tracker, bundle, name, manifest=manifest)
