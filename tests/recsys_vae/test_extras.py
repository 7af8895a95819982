import json
import os
import re
import sys
import tomllib
from importlib import import_module
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from pipelines import start
from recsys_vae.errors import MissingExtraError
from recsys_vae.extras import EXTRAS, Deferred, explained, extra_of
from recsys_vae.training import tracking

PROJECT = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]


def distributions(requirements: list[str]) -> set[str]:
    return {re.match(r"[A-Za-z0-9-]+", requirement)[0].lower() for requirement in requirements}


def test_modules_stand_under_an_extra_that_brings_them() -> None:
    brought = {extra: distributions(names) for extra, names in PROJECT["optional-dependencies"].items()}
    brought["service"] |= {"starlette"}  # by fastapi
    installed = packages_distributions()
    wrong = [
        (extra, module)
        for extra, modules in EXTRAS.items()
        for module in modules
        if module in installed and module != "opentelemetry"
        if not {name.lower().replace("_", "-") for name in installed[module]} & brought[extra] and extra != "cpu"
    ]
    assert wrong == []


def test_core_modules_are_of_no_extra() -> None:
    assert [name for name in distributions(PROJECT["dependencies"]) if extra_of(name)] == []


def test_a_missing_module_of_an_extra_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(MissingExtraError, match=r"faiss.*recsys-vae\[cpu\]"):
        _ = Deferred("faiss").IndexFlatIP


def test_a_deferred_module_is_asked_once_for_each_attribute(monkeypatch: pytest.MonkeyPatch) -> None:
    deferred = Deferred("json")
    assert deferred.dumps is json.dumps
    monkeypatch.setitem(sys.modules, "json", None)
    assert deferred.dumps([1]) == "[1]"


def test_another_missing_module_stays_what_it_is() -> None:
    with pytest.raises(ModuleNotFoundError, match="no_such_module"), explained():
        import_module("no_such_module")


def test_tracking_without_mlflow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mlflow", None)
    with pytest.raises(MissingExtraError, match=r"recsys-vae\[pipelines\]"):
        tracking.connect()


def test_the_command_line_without_its_extra(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("_RJEM_MALLOC_CONF", "dirty_decay_ms:500")
    monkeypatch.delitem(sys.modules, "pipelines.cli", raising=False)
    monkeypatch.setitem(sys.modules, "typer", None)
    with pytest.raises(SystemExit) as end:
        start.main()
    assert os.environ["_RJEM_MALLOC_CONF"] == "dirty_decay_ms:500"  # what was set stays
    assert end.value.code == 1
    assert "pip install 'recsys-vae[pipelines]'" in capsys.readouterr().err
