"""Bundles: fetched, verified and warmed up before anything is answered with them.

The service's only import of mlflow is here, and lazy.
"""

import math
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import numpy as np
from scipy.sparse import csr_array

from recsys_vae.bundles.bundle import Bundle
from recsys_vae.bundles.manifest import MANIFEST
from recsys_vae.data.histories import empty_histories
from recsys_vae.errors import BundleCorruptError, BundleError, RecsysError, UnavailableError, first_line
from recsys_vae.local_store import follow_home
from recsys_vae.recommender import POPULAR, PRIOR, SEGMENT, FallbackChain
from recsys_vae.remote import bring, is_remote
from recsys_vae.tracking_store import REGISTERED_MODEL, default_database, default_tracking_uri, tracking_uri
from service.deployment.background import within
from service.deployment.shared_arrays import among_workers, give_back_memory
from service.ranking.served_model import Catalogue

WARM_UP_K = 10
ADDRESS: Final = re.compile(r"[a-z][a-z0-9+.-]+:/", re.IGNORECASE)
"""How addresses begin, and paths do not."""
WITHOUT_HISTORY = (PRIOR, SEGMENT, POPULAR)
"""Tiers that go by something else."""


@dataclass(frozen=True)
class Patience:
    """How long the model registry is waited for.

    Attributes:
        registry_seconds: to say what an alias names.
        download_seconds: for a whole bundle, from the registry or the bucket that it names.
    """

    registry_seconds: float = 10.0
    download_seconds: float = 600.0


USUAL: Final = Patience()


def resolved(source: str, patience: Patience = USUAL) -> str:
    """Where a source leads now: the directory behind links, the version behind an alias of a registered model.

    Raises:
        BundleError: there is no registry.
        UnavailableError: the model registry does not say.
    """
    if not is_model(source):
        return str(Path(source).resolve())
    found = REGISTERED_MODEL.fullmatch(source)
    if found is None or found["alias"] is None:
        return source
    name, alias = found["name"], found["alias"]
    with _registry(source, patience) as mlflow:
        asked, client = f"MLflow, asked for {source}", mlflow.MlflowClient
        held = within(patience.registry_seconds, lambda: client().get_model_version_by_alias(name, alias), asked)
    return f"models:/{name}/{held.version}"


def is_model(source: str) -> bool:
    """Whether a source is an address of MLflow's, and no directory."""
    return ADDRESS.match(source) is not None


def is_alias(source: str) -> bool:
    """Whether what a source leads to changes with the registry."""
    found = REGISTERED_MODEL.fullmatch(source)
    return found is not None and found["alias"] is not None


def open_catalogue(source: str, patience: Patience = USUAL) -> Catalogue:
    """The bundle that a source leads to, verified and ready to answer.

    Raises:
        BundleError: it is missing, damaged, of another format, or does not answer.
        UnavailableError: the model registry does not hand it out.
    """
    if is_model(source):
        with fetched(source, patience) as directory:
            return _opened(directory)
    return _opened(Path(source))


def _opened(directory: Path) -> Catalogue:
    try:
        catalogue = Catalogue(warmed_up(Bundle.load(directory, among_workers())), is_warm=True)
        give_back_memory()
        return catalogue
    except RecsysError:
        raise
    except OSError as error:
        raise BundleCorruptError(f"{directory} cannot be read: {error.strerror}.") from error
    except Exception as error:  # whatever its files make of the libraries that read and use them
        raise BundleError(f"{directory} cannot be used: {type(error).__name__}: {error}") from error


def warmed_up(bundle: Bundle) -> FallbackChain:
    """A fallback chain that has answered once on every tier: what is slow the first time is over.

    Raises:
        BundleError: a tier has no finite answer.
    """
    chain = FallbackChain(bundle)
    if not len(bundle.items):
        raise BundleError(f"Bundle {bundle.version} holds no items: there is nothing to recommend. Train on more data.")
    favourite = [int(np.argmax(bundle.popularity))]
    known = csr_array((np.ones(1, np.float32), favourite, [0, 1]), shape=(1, len(bundle.items)))
    metadata = _somebody(bundle)
    for tier in chain.tiers:
        history = empty_histories(1, len(bundle.items)) if tier in WITHOUT_HISTORY else known
        answers = chain.recommend(history, WARM_UP_K, keep_seen=True, metadata=metadata, order=history, tier=tier)
        if not np.isfinite(answers.scores[answers.rows >= 0]).all() or not (answers.rows >= 0).any():
            raise BundleError(f"Bundle {bundle.version} has no finite answer on its tier {answers.tiers[0]!r}.")
    chain.similarity.similar(favourite[0], WARM_UP_K)
    return chain


def _somebody(bundle: Bundle) -> csr_array | None:
    """Metadata of one user, in the first column of the bundle's schema."""
    schema = bundle.tiers.schema
    if schema is None or not schema.width:
        return None
    return csr_array((np.ones(1, np.float32), [0], [0, 1]), shape=(1, schema.width))


@contextmanager
def fetched(model_uri: str, patience: Patience = USUAL) -> Iterator[Path]:
    """The bundle inside a registered model, or below an address, in a folder that lasts as long as the context.

    Raises:
        UnavailableError: the registry, or the bucket, does not hand it out.
        BundleError: there is not exactly one bundle.
    """
    with TemporaryDirectory(prefix="recsys-bundle-", ignore_cleanup_errors=True) as folder:
        if is_remote(model_uri):
            within(patience.download_seconds, partial(bring, model_uri, Path(folder)), model_uri)
        else:
            with _registry(model_uri, patience) as mlflow:
                take = partial(mlflow.artifacts.download_artifacts, artifact_uri=model_uri, dst_path=folder)
                within(patience.download_seconds, take, f"MLflow, or where it keeps files, asked for {model_uri}")
        yield find_bundle(Path(folder), model_uri)


@contextmanager
def _registry(wanted: str, patience: Patience) -> Iterator[Any]:
    """mlflow, whose errors are one here."""
    if tracking_uri() == default_tracking_uri():
        if not default_database().is_file():
            raise BundleError(  # that one is not there does not pass
                f"There is no MLflow store at {tracking_uri()} to take {wanted} from. Train a model first, or set "
                "MLFLOW_TRACKING_URI."
            )
        follow_home()
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", f"{max(1, math.ceil(patience.registry_seconds))}")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", str(sys.stderr.isatty()).lower())
    import mlflow

    mlflow.set_tracking_uri(tracking_uri())
    try:
        yield mlflow
    except UnavailableError:
        raise
    except Exception as error:
        # mlflow lets errors of its stores and of their drivers through, which have no common class.
        cause = first_line(error)
        raise UnavailableError(f"MLflow does not hand out {wanted}: {cause}") from error


def find_bundle(folder: Path, name: str) -> Path:
    """The one directory below `folder` that holds a manifest.

    Raises:
        BundleCorruptError: there is none, or there are several.
    """
    found = sorted(path.parent for path in folder.rglob(MANIFEST))
    if len(found) != 1:
        raise BundleCorruptError(f"{name} holds {len(found)} bundles, expected one. Was it logged by `recsys train`?")
    return found[0]
