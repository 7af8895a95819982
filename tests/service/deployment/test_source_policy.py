"""Nothing outside the bundle root and the registry can be named."""

from pathlib import Path

import pytest

from service.deployment.source_policy import permitted
from service.errors import FieldError
from service.settings import Settings


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A root with a bundle in it, a link to it, a link out of the root, and a neighbour of a similar name."""
    for folder in ("root/monday", "root-secret", "outside"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "root" / "current").symlink_to("monday")
    (tmp_path / "root" / "out").symlink_to(tmp_path / "outside")
    (tmp_path / "root" / "circle").symlink_to("circle")
    return tmp_path / "root"


def test_what_lies_below_the_root_may_be_loaded(root: Path) -> None:
    settings = Settings(bundle_root=root)
    monday = str((root / "monday").resolve())
    for asked in ("monday", "./monday", "current", "monday/../monday", str(root / "monday")):
        assert permitted(asked, settings) == monday
    assert permitted("not/yet/there", settings).endswith("root/not/yet/there")


@pytest.mark.parametrize(
    "asked",
    ["..", ".", "../outside", "monday/../../outside", "../root-secret", "out", "out/x", "/etc", "/", "a\x00b",
     "circle/x"],
)  # fmt: skip
def test_nothing_else_may(root: Path, asked: str) -> None:
    with pytest.raises(FieldError, match=r"body\.source"):
        permitted(asked, Settings(bundle_root=root))


def test_without_a_root_no_directory_can_be_named_but_those_of_the_settings(root: Path) -> None:
    settings = Settings(variant=(f"a=1:{root / 'monday'}", "b=1:file:///models/b"))
    with pytest.raises(FieldError, match="RECSYS_BUNDLE_ROOT"):
        permitted("monday", settings)
    for own in (str(root / "monday"), "file:///models/b"):
        assert permitted(own, settings) == own


@pytest.mark.parametrize("asked", ["models:/movies@champion", "models:/movies/7", "models:/my movies@a.b-c"])
def test_registered_models_may_be_loaded(asked: str) -> None:
    assert permitted(asked, Settings()) == asked


@pytest.mark.parametrize(
    "asked",
    ["models:/movies", "models:/../etc/1", "models:/m/latest", "models://host/m/1", "models:/m/1/../../x", "models:",
     "models:/m@a@b", "models:/m@a?x=1", "file:///etc", "s3://bucket/x", "runs:/1/model", "http://127.0.0.1/x"],
)  # fmt: skip
def test_other_addresses_may_not(root: Path, asked: str) -> None:
    for settings in (Settings(), Settings(bundle_root=root)):
        if settings.bundle_root and not asked.startswith("models:"):
            assert permitted(asked, settings).startswith(str(root.resolve()))  # a name like any other, below the root
        else:
            with pytest.raises(FieldError):
                permitted(asked, settings)
