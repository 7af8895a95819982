"""Logging in as a browser does."""

import re
from collections.abc import Callable

from fastapi.testclient import TestClient

TOKEN = re.compile(r'name="form_token" value="([0-9a-f]{64})"')
LogIn = Callable[..., TestClient]


def token_of(client: TestClient, address: str = "/ui/login") -> str:
    """Of the form at an address."""
    return TOKEN.search(client.get(address).text)[1]


def show_key(client: TestClient, key: str, wanted: str = "/ui"):
    """Log in; what is answered, redirects not followed."""
    fields = {"key": key, "next": wanted, "form_token": token_of(client)}
    return client.post("/ui/login", data=fields, follow_redirects=False)
