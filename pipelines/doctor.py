"""Doctor: what is installed here, what computes, which stores answer, what is there to work with."""

import os
import platform
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from importlib.metadata import PackageNotFoundError, distributions, version
from pathlib import Path
from tempfile import TemporaryFile

from recsys_vae.bundles.manifest import LIBRARIES, MANIFEST, read_manifest
from recsys_vae.errors import BundleError, RecsysError
from recsys_vae.home import home
from recsys_vae.redaction import redacted
from recsys_vae.tracking_store import default_tracking_uri, tracking_uri

LITTLE_SPACE = 2 * 10**9
"""Bytes below which free space is remarked upon."""


class State(StrEnum):
    """How a finding stands."""

    OK = "ok"
    WARNING = "warning"
    BROKEN = "broken"


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        area: heading it belongs under.
        name: what was looked at.
        value: what was found, for people.
        state: `broken` where something that is needed does not work.
    """

    area: str
    name: str
    value: str
    state: State = State.OK


def examine() -> list[Finding]:
    """Look at everything; a check that fails becomes a finding, never an exception."""
    checks = (_machine, _libraries, _device, _faiss, _threads, _folders, _mlflow, _events, _contents)
    return [finding for check in checks for finding in _findings(check)]


def is_healthy(findings: list[Finding]) -> bool:
    """Whether nothing is broken."""
    return all(finding.state is not State.BROKEN for finding in findings)


def _findings(check: Callable[[], Iterator[Finding]]) -> list[Finding]:
    found: list[Finding] = []
    area = check.__name__.lstrip("_")
    try:
        found.extend(check())
    except Exception as error:  # the doctor must outlive its patient, whatever breaks in a library
        found.append(Finding(area, "check", f"{type(error).__name__}: {error}", State.BROKEN))
    return [replace(finding, value=redacted(finding.value)) for finding in found]


def _machine() -> Iterator[Finding]:
    yield Finding("machine", "python", f"{platform.python_version()} at {sys.executable}")
    yield Finding("machine", "platform", platform.platform())


def _libraries() -> Iterator[Finding]:
    for library in (*LIBRARIES, "mlflow", "sqlalchemy", "fastapi"):
        try:
            yield Finding("libraries", library, version(library))
        except PackageNotFoundError:
            if not library.startswith("faiss"):
                yield Finding("libraries", library, "not installed", State.BROKEN)


def _device() -> Iterator[Finding]:
    import torch

    from recsys_vae.native import library, parquet, tables
    from recsys_vae.training.device import choose_device, choose_precision

    device = choose_device("auto")
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor() or platform.machine()
    precision = str(choose_precision("auto", device)).removeprefix("torch.")
    yield Finding("computing", "device", f"{device} ({name})")
    yield Finding("computing", "precision", f"{precision} matrix products")
    yield Finding("computing", "compiled loops", library.description())
    yield Finding("computing", "compiled tables", tables.description())
    yield Finding("computing", "compiled Parquet", parquet.description())


def _faiss() -> Iterator[Finding]:
    builds = faiss_builds()
    if not builds:
        yield Finding("computing", "faiss", "not installed: pip install 'recsys-vae[cpu]' or [gpu]", State.BROKEN)
        return
    if len(builds) > 1:
        yield Finding(
            "computing",
            "faiss",
            f"{' and '.join(builds)} are installed over each other; which one runs is chance. Uninstall them all, then "
            "install one",
            State.BROKEN,
        )
        return
    from recsys_vae.retrieval.faiss_index import build_name

    yield Finding("computing", "faiss", build_name())


def faiss_builds() -> list[str]:
    """Installed distributions that ship the module faiss; more than one is a broken installation."""
    names = {str(found.metadata["Name"]).lower().replace("_", "-") for found in distributions()}
    return sorted(name for name in names if name.startswith(("faiss-cpu", "faiss-gpu")))


def _threads() -> Iterator[Finding]:
    import polars
    import torch

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    limit = os.environ.get("OMP_NUM_THREADS")
    text = f"torch {torch.get_num_threads()}, polars {polars.thread_pool_size()}, of {cores} cores"
    yield Finding("computing", "threads", text + (f"; OMP_NUM_THREADS={limit}" if limit else ""))


def _folders() -> Iterator[Finding]:
    there = next(path for path in (home(), *home().parents) if path.exists())
    try:
        with TemporaryFile(dir=there):
            pass
    except OSError as error:
        yield Finding("folders", "RECSYS_HOME", f"{home()} cannot be written to: {error.strerror}", State.BROKEN)
    else:
        free = shutil.disk_usage(there).free
        state = State.OK if free > LITTLE_SPACE else State.WARNING
        later = "" if there == home() else ", created when needed"
        yield Finding("folders", "RECSYS_HOME", f"{home()} ({free / 1e9:.1f} GB free{later})", state)
    data = os.environ.get("RECSYS_DATA_DIR")
    if data and not Path(data).expanduser().is_dir():
        yield Finding("folders", "RECSYS_DATA_DIR", f"{data} is no folder; it is passed over", State.WARNING)
    else:
        yield Finding("folders", "RECSYS_DATA_DIR", data or "not set; public datasets are downloaded")


def _mlflow() -> Iterator[Finding]:
    from pipelines.artifacts.mlflow_registry import check_bundle
    from recsys_vae.training.tracking import answering, connect

    shown = tracking_uri()
    if tracking_uri() == default_tracking_uri() and not (home() / "mlflow.db").exists():
        yield Finding("stores", "MLflow", f"{shown} is created by the first run")
        return
    try:
        client = connect()
    except RecsysError as error:
        yield Finding("stores", "MLflow", str(error), State.BROKEN)
        return
    yield Finding("stores", "MLflow", f"{shown} answers")
    with answering():
        for model in client.search_registered_models():
            try:
                for version in set(model.aliases.values()):
                    check_bundle(client, model.name, str(version))
            except BundleError as error:
                yield Finding("stores", "registered model", str(error), State.BROKEN)


def _events() -> Iterator[Finding]:
    """The event store belongs to the service; its address alone is shared: RECSYS_STORE, else a file of RECSYS_HOME."""
    from sqlalchemy import create_engine, make_url
    from sqlalchemy.exc import SQLAlchemyError

    address = os.environ.get("RECSYS_STORE") or f"sqlite:///{home() / 'events.db'}"
    try:
        url = make_url(address)
        shown = url.render_as_string(hide_password=True)
        if url.get_backend_name() == "sqlite" and not Path(url.database or "").is_file():
            yield Finding("stores", "events", f"{shown} is created by `recsys load-history` or `recsys serve`")
            return
        engine = create_engine(url)
        engine.connect().close()
        engine.dispose()
    except (SQLAlchemyError, ImportError, ValueError) as error:
        yield Finding("stores", "events", f"RECSYS_STORE does not answer: {str(error).splitlines()[0]}", State.BROKEN)
    else:
        yield Finding("stores", "events", f"{shown} answers")


def _contents() -> Iterator[Finding]:
    from pipelines.public_datasets.catalog import DATASETS, locate

    here = [name for name, dataset in DATASETS.items() if locate(dataset)]
    yield Finding("contents", "public datasets", ", ".join(here) or "none yet: recsys data fetch NAME")
    ingested = sorted(path.parent.name for path in (home() / "datasets").glob("*/interactions.parquet"))
    yield Finding("contents", "ingested datasets", ", ".join(ingested) or "none yet: recsys ingest LOG --to NAME")
    for path in sorted((home() / "bundles").glob(f"*/{MANIFEST}")):
        try:
            yield Finding("contents", "bundle", f"{path.parent} ({read_manifest(path.parent).version})")
        except RecsysError as error:
            yield Finding("contents", "bundle", str(error), State.WARNING)
