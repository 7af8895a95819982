"""Every Python snippet of README and docs runs, but for those that say above them why they cannot."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from recsys_vae.extras import EXTRAS

ROOT = Path(__file__).parents[2]
FENCE = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
NOT_RUN = re.compile(r"<!-- not run: .+ -->\s*$")
PAGES = [page for page in (ROOT / "README.md", *sorted(ROOT.glob("docs/**/*.md"))) if FENCE.search(page.read_text())]
WITHOUT_EXTRAS = f"import sys; sys.modules.update(dict.fromkeys({[m for many in EXTRAS.values() for m in many]}))\n"


def snippets(page: Path) -> list[str]:
    """Those of a page that are to be run; each starts on the line it has there."""
    text = page.read_text()
    found = [match for match in FENCE.finditer(text) if not NOT_RUN.search(text[: match.start()])]
    return ["\n" * (text[: match.start()].count("\n") + 1) + match[1] for match in found]


@pytest.mark.parametrize("page", [page for page in PAGES if snippets(page)], ids=lambda p: str(p.relative_to(ROOT)))
def test_snippets_run(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    for code in snippets(page):
        exec(compile(code, str(page), "exec"), names)


def test_the_start_runs_with_the_core_dependencies_alone(tmp_path: Path) -> None:
    start = WITHOUT_EXTRAS + snippets(ROOT / "docs" / "library.md")[0]
    answer = subprocess.run(
        [sys.executable, "-c", start], cwd=tmp_path, capture_output=True, text=True, check=False, env=_environment()
    )
    assert answer.returncode == 0, answer.stderr
    assert "ndcg@100" in answer.stdout


def _environment() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(ROOT)}
