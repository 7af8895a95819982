"""Applications with pages, and browsers that have logged in."""

from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from fastapi.testclient import TestClient

from recsys_vae.recommender import FallbackChain
from service.app import create_app
from service.security.api_keys import entry_of, new_key
from service.settings import Settings
from tests.service.tiny import only
from tests.service.ui.logins import LogIn, show_key


@pytest.fixture
def log_in(settings: Settings, chain: FallbackChain) -> Iterator[LogIn]:
    """A browser that has logged in to an application of its own, with a key of these scopes."""
    with ExitStack() as stack:

        def made(*scopes: str) -> TestClient:
            key = new_key()
            keys = str(entry_of(key, "product", scopes))
            chosen = settings.model_copy(update={"keys": keys})
            client = stack.enter_context(TestClient(create_app(chosen, only(chain))))
            assert show_key(client, key).status_code == 303
            return client

        yield made
