"""Bundles over the tiny world, a filled event store and a client of the running application."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic import command
from fastapi.testclient import TestClient

from recsys_vae.bundles.bundle import Bundle
from recsys_vae.recommender import FallbackChain
from service.app import create_app
from service.settings import Settings
from tests.service.new_stores import CopiedStores
from tests.service.places import KINDS, Place, place_of
from tests.service.tiny import fill, write_tiny_bundle


@pytest.fixture(scope="session", autouse=True)
def copied_stores() -> Iterator[CopiedStores]:
    """New event stores are copies, but for the tests of the migrations."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        copies = CopiedStores(command.upgrade)
        monkeypatch.setattr(command, "upgrade", copies)
        yield copies


@pytest.fixture(scope="session", params=["popularity", "ease", "mult-vae"])
def any_chain(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> FallbackChain:
    """A fallback chain over each kind of model: one dimension, not factorised, neural."""
    directory = tmp_path_factory.mktemp("bundles") / request.param
    return FallbackChain(Bundle.load(write_tiny_bundle(directory, request.param)))


@pytest.fixture(scope="session")
def bundle_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle that tests only read."""
    return write_tiny_bundle(tmp_path_factory.mktemp("bundles") / "ease", "ease")


@pytest.fixture(scope="session")
def chain(bundle_path: Path) -> FallbackChain:
    """Over that bundle."""
    return FallbackChain(Bundle.load(bundle_path))


@pytest.fixture
def settings(bundle_path: Path, tmp_path: Path) -> Settings:
    """That bundle, and a store of this test's own that knows the six users."""
    url = f"sqlite:///{tmp_path / 'events.db'}"
    fill(url)
    return Settings(bundle=bundle_path, store=url)


@pytest.fixture
def client(settings: Settings) -> Iterator[TestClient]:
    """A client of the running application."""
    with TestClient(create_app(settings)) as client:
        yield client


@pytest.fixture(params=KINDS)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    """A place for an event store, of each kind."""
    with place_of(request.param, tmp_path) as place:
        yield place
