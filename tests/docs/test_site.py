"""What the site's hook makes of pages, without mkdocs; `make docs` builds the site itself."""

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

from recsys_vae.models.catalog import CATALOG

ROOT = Path(__file__).parents[2]
REFERENCE = {page.name: page.read_text() for page in sorted((ROOT / "docs" / "reference").glob("*.md"))}


@pytest.fixture(scope="module")
def hook() -> ModuleType:
    spec = importlib.util.spec_from_file_location("site_hook", ROOT / "docs" / "site_hook.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_navigation_is_the_list_of_pages(hook: ModuleType) -> None:
    text = "# Title\n\n[none](../README.md)\n\n## Use\n\n- [a](data.md), [b](images/vae.md)\n- [c](../data/README.md)\n"
    assert hook.navigation(text) == [
        {"Contents": "README.md"},
        {"Use": ["data.md", "images/vae.md", "source/data/README.md"]},
    ]


@pytest.mark.parametrize(
    ("origin", "text", "expected"),
    [
        ("docs/images/vae.md", "[code](../../hatch_build.py#x)", "[code](../source/hatch_build.py.md#x)"),
        ("docs/data.md", "[x](evaluation.md#metrics)", "[x](evaluation.md#metrics)"),
        ("docs/data.md", "[evaluation.md](evaluation.md#metrics)", "[Evaluation](evaluation.md#metrics)"),
        ("docs/service.md", "[all of it](monitoring/)", "[all of it](source/docs/monitoring.md)"),
        ("CONTRIBUTING.md", "![p](docs/plots/cold-start-gaps.svg)", "![p](../plots/cold-start-gaps.svg)"),
        ("docs/data.md", "[a](https://a.b/c.md) [b](#here) x[0](y)", "[a](https://a.b/c.md) [b](#here) x[0](y)"),
    ],
)
def test_links_lead_to_the_same_file_on_the_site(hook: ModuleType, origin: str, text: str, expected: str) -> None:
    assert hook.relinked(text, ROOT / origin) == expected


def test_a_linked_folder_lists_its_files_with_links(hook: ModuleType) -> None:
    folder = ROOT / "docs" / "monitoring"
    assert set(hook.linked(folder)) == set(folder.iterdir())
    assert "- [alerts.yml](monitoring/alerts.yml)" in hook.shown(folder)


def test_lists_and_tables_mean_on_the_site_what_they_mean_in_the_repository(hook: ModuleType) -> None:
    text = "1. one\n\n   ```\n   code\n   ```\n\n2. two\n\n- a\n  - b\n\n| `x\\|y` | a \\| b |\n"
    assert (
        hook.adapted(text) == "1. one\n\n    ```\n    code\n    ```\n\n2. two\n\n- a\n    - b\n\n| `x|y` | a \\| b |\n"
    )


def test_the_reference_names_modules_that_exist_and_every_model() -> None:
    named = {name for page in REFERENCE.values() for name in re.findall(r"^::: (\S+)$", page, re.MULTILINE)}
    places = {name: ROOT / name.replace(".", "/") for name in named}
    assert [name for name, path in places.items() if not (path.is_dir() or path.with_suffix(".py").is_file())] == []
    assert {entry.config.__module__ for entry in CATALOG.values()} <= named
