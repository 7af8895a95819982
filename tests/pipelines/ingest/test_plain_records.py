"""Records out of JSON: equal to what was written, and to what pydantic reads."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path

import pytest
from pydantic import TypeAdapter

from pipelines.ingest.plain_records import record_of


class Size(StrEnum):
    SMALL = "small"


@dataclass(frozen=True)
class Inner:
    name: str
    rows: int = 0

    def __post_init__(self) -> None:
        if self.rows < 0:
            raise ValueError("rows below zero")


@dataclass(frozen=True)
class Outer:
    inner: Inner
    several: tuple[Inner, ...] = ()
    three: tuple[int, int, str] = (1, 2, "x")
    share: float = 0.5
    at: datetime | None = None
    where: Path | None = None
    size: Size = Size.SMALL
    years: Mapping[int, int] = field(default_factory=dict)
    is_new: bool = False


WHOLE = Outer(
    Inner("a", 1), (Inner("b"),), (3, 4, "é"), 1.0, datetime(2020, 1, 2, tzinfo=UTC), Path("x/y"), Size.SMALL, {1999: 2}
)


def written(record: Outer) -> str:
    return json.dumps(asdict(record), default=str)


@pytest.mark.parametrize("record", [WHOLE, Outer(Inner("a"))])
def test_what_was_written_comes_back(record: Outer) -> None:
    assert record_of(Outer, written(record)) == record == TypeAdapter(Outer).validate_json(written(record))


def test_defaults_stand_for_what_is_absent_and_unknown_names_are_passed_over() -> None:
    assert record_of(Outer, '{"inner": {"name": "a"}, "later": 1}') == Outer(Inner("a"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "Expecting"),
        ("[]", "Outer"),
        ("{}", "inner"),
        ('{"inner": {"name": 3}}', r"Outer\.inner\.name is 3, expected str"),
        ('{"inner": {"name": "a", "rows": true}}', "expected int"),
        ('{"inner": {"name": "a", "rows": -1}}', "below zero"),
        ('{"inner": {"name": "a"}, "three": [1, 2]}', "three"),
        ('{"inner": {"name": "a"}, "several": [{}]}', r"several\[0\]"),
        ('{"inner": {"name": "a"}, "at": "soon"}', "soon"),
        ('{"inner": {"name": "a"}, "size": "huge"}', "huge"),
        ('{"inner": {"name": "a"}, "years": {"x": 1}}', "x"),
    ],
)
def test_anything_else_is_an_error_that_names_it(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        record_of(Outer, text)
