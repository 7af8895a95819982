"""What leaves this machine has a deadline, and nobody who stops waits for it."""

import asyncio
import sys
from collections.abc import Iterator
from contextvars import ContextVar
from pathlib import Path
from threading import Event
from types import SimpleNamespace

import pytest

from recsys_vae.errors import BundleError, UnavailableError
from service.deployment import bundle_sources
from service.deployment.background import in_background, within
from service.deployment.loader import patience_of
from service.settings import Settings

SOON = 20
NAME: ContextVar[str] = ContextVar("name")


@pytest.fixture
def hang() -> Iterator[Event]:
    """Waits until the test is over."""
    over = Event()
    yield over
    over.set()


def fail(error: Exception) -> None:
    raise error


def test_a_call_gives_what_it_gives_within_its_time() -> None:
    assert within(SOON, lambda: 7, "somebody") == 7
    for error in (BundleError("damaged"), TimeoutError("its own")):
        with pytest.raises(type(error), match=str(error)):
            within(SOON, lambda error=error: fail(error), "somebody")


def test_a_call_that_does_not_come_back_is_told_and_left(hang: Event) -> None:
    with pytest.raises(UnavailableError, match=r"MLflow, asked for m: no answer within 0\.01 s"):
        within(0.01, hang.wait, "MLflow, asked for m")


def test_who_is_cancelled_does_not_wait(hang: Event) -> None:
    async def run() -> None:
        NAME.set("ann")
        assert await in_background(NAME.get) == "ann"
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await in_background(hang.wait)

    asyncio.run(run())


@pytest.mark.parametrize("source", ["models:/movies@champion", "models:/movies/1"])
def test_a_registry_and_a_bucket_that_hang_are_given_up(
    source: str, hang: Event, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = SimpleNamespace(get_model_version_by_alias=lambda *_: hang.wait())
    artifacts = SimpleNamespace(download_artifacts=lambda **_: hang.wait())
    fake = SimpleNamespace(set_tracking_uri=lambda _: None, MlflowClient=lambda: client, artifacts=artifacts)
    monkeypatch.setitem(sys.modules, "mlflow", fake)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:1")
    patience = patience_of(Settings(registry_seconds=0.01, download_seconds=0.02))
    seconds = patience.registry_seconds if "@" in source else patience.download_seconds
    with pytest.raises(UnavailableError, match=f"asked for {source}: no answer within {seconds} s"):
        bundle_sources.open_catalogue(bundle_sources.resolved(source, patience), patience)
