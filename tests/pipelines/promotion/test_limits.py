from pathlib import Path

import pytest

from pipelines.promotion.limits import Limits, read_limits
from recsys_vae.errors import ConfigError


def test_limits_come_from_a_file_and_the_rest_by_default(tmp_path: Path) -> None:
    file = tmp_path / "gate.toml"
    file.write_text('metrics = ["recall@10"]\ntolerance = 0.01\n[guard_rails]\nmax_size_mb = 10\n')
    found = read_limits(file)
    assert (found.metrics, found.tolerance, found.guard_rails.max_size_mb) == (("recall@10",), 0.01, 10)
    assert found.slice_tolerance == read_limits(None).slice_tolerance
    assert found.depth == 10


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("tolerence = 0.1", "there is no tolerence; known: metrics, tolerance"),
        ("[guard_rails]\nmin_cover = 1", "there is no guard_rails.min_cover; known: min_coverage"),
        ("tolerance = 2", "tolerance: Input should be less than 1, got 2"),
        ('metrics = ["coverage@20"]', "coverage@20 cannot be guarded"),
        ('metrics = ["ndgc@20"]', "Did you mean|no metric named 'ndgc@20'"),
        ("metrics = []", "at least one metric"),
        ('undecided = "maybe"', "undecided: Input should be 'refuse' or 'warn'"),
        ("tolerance", "cannot be read"),
    ],
)
def test_limits_that_do_not_hold_are_named(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "gate.toml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=said):
        read_limits(file)
    with pytest.raises(ConfigError, match="cannot be read"):
        read_limits(tmp_path / "absent.toml")


def test_the_page_lists_every_limit_with_its_default() -> None:
    page = (Path(__file__).parents[3] / "docs" / "lifecycle.md").read_text()
    limits = Limits()
    told = {name: value for name, value in limits if name not in ("guard_rails", "metrics", "segments")}
    rails = dict(limits.guard_rails)
    for name, value in (told | rails).items():
        shown = "not checked" if value is None else f"`{value:g}`" if isinstance(value, int | float) else f'`"{value}"`'
        assert f"| `{name}` | {shown} |" in page, name
