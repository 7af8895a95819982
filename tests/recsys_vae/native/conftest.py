import os

import pytest

from recsys_vae.errors import UnavailableError
from recsys_vae.native.library import loaded


@pytest.fixture(autouse=True)
def compiled() -> None:
    """Tests of compiled code need a compiler; continuous integration has one."""
    try:
        loaded()
    except UnavailableError as reason:
        if os.environ.get("CI") == "true":
            pytest.fail(f"no compiled library: {reason}")
        pytest.skip(f"no compiled library: {reason}")
