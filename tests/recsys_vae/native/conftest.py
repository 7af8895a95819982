import os

import pytest

from recsys_vae.native.build import levels
from recsys_vae.native.library import obstacles


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Who uses `compiled` runs at every level, or at those of its module's LEVELS."""
    if "compiled" in metafunc.fixturenames:
        known = [level.name for level in levels()]
        wanted = getattr(metafunc.module, "LEVELS", known)
        metafunc.parametrize("compiled", [name for name in known if name in wanted], indirect=True)


@pytest.fixture
def compiled(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The compiled code of one level is used; what the processor cannot run is skipped, and nothing else in CI."""
    name: str = request.param
    if obstacle := obstacles()[name]:
        if os.environ.get("CI") == "true" and "the processor lacks" not in obstacle:
            pytest.fail(f"{name}: {obstacle}")
        pytest.skip(f"{name}: {obstacle}")
    monkeypatch.setenv("RECSYS_NATIVE", name)
    return name
