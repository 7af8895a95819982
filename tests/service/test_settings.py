from pathlib import Path

import pytest

from recsys_vae.errors import ConfigError
from service.settings import Settings, read_settings


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(f"RECSYS_{name.upper()}", raising=False)


def test_it_listens_at_this_machine_only_by_default() -> None:
    assert (Settings().host, Settings().port) == ("127.0.0.1", 8000)


def test_flags_go_before_the_environment_and_that_before_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECSYS_PORT", "9000")
    monkeypatch.setenv("RECSYS_HOST", "::1")
    chosen = read_settings(port=9001, host=None)
    assert (chosen.port, chosen.host, chosen.compute_threads) == (9001, "::1", 1)


def test_a_bundle_named_by_flag_goes_before_a_model_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECSYS_MODEL", "models:/movies@champion")
    chosen = read_settings(bundle=Path("here"), model=None)
    assert (chosen.bundle, chosen.model) == (Path("here"), None)


def test_a_bundle_and_a_model_are_one_too_many() -> None:
    with pytest.raises(ConfigError, match=r"^Settings: a bundle, a model and variants .* name one of them"):
        read_settings(bundle=Path("here"), model="models:/movies@champion")


def test_variants_are_named_with_their_weights_and_sources(monkeypatch: pytest.MonkeyPatch) -> None:
    flags = read_settings(variant=["a=90:bundles/a", "b=.5:models:/movies@challenger"])
    assert flags.sources == (("a", 90.0, "bundles/a"), ("b", 0.5, "models:/movies@challenger"))
    monkeypatch.setenv("RECSYS_VARIANT", "a=90:bundles/a; b=.5:models:/movies@challenger")
    assert Settings().sources == flags.sources
    assert read_settings(bundle=Path("here")).sources == (("main", 1.0, "here"),)
    assert read_settings(variant=["c=1:x"]).sources == (("c", 1.0, "x"),)


@pytest.mark.parametrize(
    ("variants", "words"),
    [
        (["a=" + "9" * 400 + ":x"], "no variant"),
        (["a"], "expected NAME=WEIGHT:SOURCE"),
        (["a=:x"], "expected NAME=WEIGHT:SOURCE"),
        (["a=-1:x"], "expected NAME=WEIGHT:SOURCE"),
        (["a b=1:x"], "expected NAME=WEIGHT:SOURCE"),
        (["a=1:x", "a=2:y"], "named alike"),
        (["a=0:x", "b=0:y"], "nobody would be answered"),
    ],
)
def test_variants_that_make_no_sense_are_named(variants: list[str], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        read_settings(variant=variants)


def test_variants_beside_a_bundle_are_one_too_many() -> None:
    with pytest.raises(ConfigError, match="name one of them"):
        read_settings(bundle=Path("here"), variant=["a=1:x"])


def test_a_value_out_of_range_is_named_with_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECSYS_PORT", "99999")
    with pytest.raises(ConfigError, match=r"port \(RECSYS_PORT\): Input should be less than or equal to 65535"):
        read_settings()


def test_events_lie_under_recsys_home_by_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECSYS_HOME", str(tmp_path))
    assert Settings().store_url == f"sqlite:///{tmp_path / 'events.db'}"
    assert Settings(store="postgresql://db/events").store_url == "postgresql://db/events"


@pytest.mark.parametrize(("name", "value"), [("deadline_ms", "inf"), ("body_seconds", "nan"), ("workers", "1.5")])
def test_numbers_are_finite_and_whole_where_they_count(name: str, value: str) -> None:
    with pytest.raises(ConfigError, match=name):
        read_settings(**{name: value})
