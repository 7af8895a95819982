"""Pages keep up with the project: links lead somewhere, and what they list is all there is."""

import re
import tomllib
from dataclasses import asdict
from pathlib import Path

import pytest

from recsys_vae.evaluation.metrics import known_metrics
from recsys_vae.models.catalog import CATALOG
from recsys_vae.settings import options
from recsys_vae.training.config import TrainingConfig

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("data/README.md")])
LINK = re.compile(r"\]\((?!https?:)([^)#]+)")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_a_file(page: Path) -> None:
    links = LINK.findall(page.read_text())
    assert [link for link in links if not (page.parent / link).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_tables_have_a_head(page: Path) -> None:
    starts = re.findall(r"(?<=\n\n) *\|.*\n(.*)", page.read_text())
    assert [line for line in starts if not re.fullmatch(r" *\|[-:| ]+\|", line)] == []


def test_every_page_stands_in_the_index() -> None:
    listed = {(ROOT / "docs" / link).resolve() for link in LINK.findall((ROOT / "docs" / "README.md").read_text())}
    assert [
        page.name for page in (ROOT / "docs").glob("**/*.md") if page.name != "README.md" and page not in listed
    ] == []


def test_every_dependency_has_its_reason() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [
        *project["dependencies"],
        *(name for extra in project["optional-dependencies"].values() for name in extra),
    ]
    page = (ROOT / "docs" / "dependencies.md").read_text()
    names = {re.match(r"[A-Za-z0-9-]+", requirement)[0] for requirement in wanted}
    assert [name for name in sorted(names) if not re.search(rf"^\|.*\b{name} \|", page, re.MULTILINE)] == []


def test_every_model_and_metric_is_described() -> None:
    training, evaluation = ((ROOT / "docs" / name).read_text() for name in ("training.md", "evaluation.md"))
    assert [name for name in CATALOG if f"| `{name}` |" not in training] == []
    assert [name for name in known_metrics() if f"| `{name}` |" not in evaluation] == []


def test_every_option_of_training_is_described_with_its_default() -> None:
    page, defaults = (ROOT / "docs" / "training.md").read_text(), asdict(TrainingConfig())
    shown = {name: f"`{value}`" if isinstance(value, str) else f"{value:g}" for name, value in defaults.items()}
    rows = [f"| `{option}` | {shown[name]} |" for name, option in options(TrainingConfig).items()]
    assert [row for row in rows if row not in page] == []
