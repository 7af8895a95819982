import polars as pl
import pytest

from pipelines.ingest.formats.python_dicts import DEEPEST, LONGEST, PythonDicts


def made(*lines: str):
    numbers = pl.Series(range(1, len(lines) + 1), dtype=pl.UInt64)
    return PythonDicts(("asin", "tags"), sets=("tags",))(pl.Series(lines, dtype=pl.String), numbers)


def test_keys_that_come_later_are_columns_too_and_nested_values_are_json():
    found = made("{'asin': 'a'}", "{'asin': 1, 'tags': [['x', 'y'], ['x']], 'more': {'n': (1, None)}, 'none': ''}")
    assert found.rows.to_dicts() == [
        {"asin": "a", "tags": None, "more": None, "none": None},
        {"asin": "1", "tags": "x|y", "more": '{"n": [1, null]}', "none": None},
    ]
    assert (found.lines.to_list(), found.rejected) == ([1, 2], ())


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("{'asin': __import__('os').getcwd()}", "no Python dictionary"),
        ("{'asin': 'a'", "no Python dictionary"),
        ("['a']", "no Python dictionary"),
        ("{1: 'a'}", "names for keys"),
        ("{'asin': " + "[" * (DEEPEST + 1) + "]" * (DEEPEST + 1) + "}", "deep"),
        ("{'asin': " + "-" * 100_000 + "1}", "no Python dictionary"),
        ("{'asin': '" + "a" * LONGEST + "'}", "characters"),
        ("{'asin': '\\ud800'}", "surrogate"),
        ("{'asin': {[]: 1}}", "no Python dictionary"),
    ],
)
def test_a_line_that_is_no_dictionary_is_rejected_with_its_number(line: str, reason: str):
    found = made("{'asin': 'a'}", line)
    assert found.rows["asin"].to_list() == ["a"]
    assert [(one.line, reason in one.reason) for one in found.rejected] == [(2, True)]
