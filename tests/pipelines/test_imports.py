import gc

import pytest

from pipelines.imports import uncollected


def test_nothing_is_collected_while_a_command_imports(monkeypatch: pytest.MonkeyPatch) -> None:
    frozen: list[None] = []
    monkeypatch.setattr(gc, "get_freeze_count", lambda: 1)
    monkeypatch.setattr(gc, "freeze", lambda: frozen.append(None))
    with uncollected():
        assert not gc.isenabled()
    assert gc.isenabled()
    assert frozen == [None]


def test_elsewhere_all_stays_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gc, "get_freeze_count", lambda: 0)
    with uncollected():
        assert gc.isenabled()
