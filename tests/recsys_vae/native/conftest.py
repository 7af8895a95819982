import os

import pytest

from recsys_vae.native.library import NotAvailableError, loaded


@pytest.fixture(autouse=True)
def compiled() -> None:
    """Tests of compiled code need a compiler; continuous integration has one."""
    try:
        loaded()
    except NotAvailableError as reason:
        if os.environ.get("CI") == "true":
            pytest.fail(f"no compiled library: {reason}")
        pytest.skip(f"no compiled library: {reason}")
