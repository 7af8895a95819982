"""Models that other distributions add by entry point."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from recsys_vae.bundles.bundle import Bundle, write_bundle
from recsys_vae.bundles.manifest import Provenance, plugins_of
from recsys_vae.errors import BundleError, PluginError, UnknownNameError
from recsys_vae.models import catalog, plugins
from tests import third_party
from tests.worlds import two_tastes


def forget() -> None:
    plugins.found.cache_clear()
    plugins.load.cache_clear()
    sys.modules.pop("damped_models", None)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder whose distributions are installed."""
    monkeypatch.syspath_prepend(tmp_path)
    forget()
    yield tmp_path
    forget()


@pytest.mark.parametrize("value", ["damped_models:ENTRY", "damped_models:made"])
def test_a_plug_in_is_a_model_like_any_other(site: Path, value: str) -> None:
    third_party.install(site, {"damped": value})
    assert catalog.names() == [*catalog.CATALOG, "damped"]
    assert catalog.origin("damped") == "damped-models 0.3"
    config = catalog.configure("damped", {"power": "0.25"})
    assert catalog.described(config) == {"power": 0.25}
    assert list(catalog.search_space("damped")) == ["power"]
    model = catalog.create("damped", 5, config)
    assert catalog.name_of(model) == "damped"
    assert catalog.distributions("damped", config) == {"damped-models": "0.3"}


def test_it_may_be_part_of_a_blend(site: Path) -> None:
    third_party.install(site)
    config = catalog.configure("blend", {"linear": "damped", "linear.power": 0.25})
    assert catalog.described(config)["linear.power"] == 0.25
    assert catalog.distributions("blend", config) == {"damped-models": "0.3"}


def test_a_name_that_nothing_answers_to_lists_plug_ins_too(site: Path) -> None:
    third_party.install(site)
    with pytest.raises(UnknownNameError, match="Did you mean 'damped'"):
        catalog.entry("dampd")


def test_a_name_of_this_package_is_refused_and_stops_no_other_model(site: Path) -> None:
    third_party.install(site, {"ease": "damped_models:ENTRY"})
    with pytest.raises(PluginError, match=r"damped-models 0\.3 adds a model 'ease'.*damped_models:ENTRY"):
        catalog.entry("ease")
    assert catalog.entry("mult-vae") is catalog.CATALOG["mult-vae"]


def test_two_distributions_of_one_name_are_refused(site: Path) -> None:
    third_party.install(site)
    third_party.install(site, name="other-models")
    with pytest.raises(PluginError, match=r"damped-models 0\.3 and by other-models 0\.3"):
        catalog.entry("damped")


@pytest.mark.parametrize(
    ("module", "message"),
    [
        ("import no_such_package\n", "ModuleNotFoundError: No module named 'no_such_package'"),
        ("ENTRY = 3\n", "expected an Entry"),
        ("def ENTRY():\n    raise ValueError('of its own')\n", "ValueError: of its own"),
        ("ELSE = 3\n", "AttributeError"),
        (third_party.MODULE.replace("Entry(DampedConfig", "Entry(dict"), "frozen dataclass"),
        (third_party.MODULE.replace("    power: float = 0.5", "    power: float"), "power"),
        (third_party.MODULE.replace("Entry(DampedConfig, Damped", "Entry(DampedConfig, made"), "made"),
    ],
)
def test_a_broken_plug_in_is_named_and_stops_no_other_model(site: Path, module: str, message: str) -> None:
    third_party.install(site, module=module)
    with pytest.raises(PluginError, match=r"'damped' that damped-models 0\.3 adds by its entry point") as refused:
        catalog.entry("damped")
    assert message in str(refused.value)
    assert catalog.entry("ease") is catalog.CATALOG["ease"]
    assert catalog.name_of(catalog.create("ease", 3)) == "ease"
    with pytest.raises(UnknownNameError, match="named 'object'"):
        catalog.name_of(object())  # type: ignore[arg-type]


def test_a_bundle_says_which_plug_in_its_model_needs(site: Path, tmp_path: Path) -> None:
    third_party.install(site)
    world, model = two_tastes(), catalog.create("damped", 12)
    bundle = tmp_path / "bundle"
    manifest = write_bundle(bundle, model, world.items, popularity=world.item_counts(), provenance=Provenance())
    assert plugins_of(manifest) == {"damped-models": "0.3"}
    assert Bundle.load(bundle).model.config.power == 0.5  # type: ignore[attr-defined]

    forget()
    (site / "damped_models" / "__init__.py").write_text("broken = ")
    with pytest.raises(BundleError, match=r"cannot be used: .*damped-models 0\.3.*SyntaxError"):
        Bundle.load(bundle)

    forget()
    third_party.uninstall(site)
    with pytest.raises(BundleError, match=r"'damped', written with damped-models 0\.3, which is not installed"):
        Bundle.load(bundle)
