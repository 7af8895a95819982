"""JSON, an object a line or one array of objects: every key of every object counts, whatever the first ones have."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl

from pipelines.ingest.readers.blocks import Block, Rejected, plain_raw
from pipelines.ingest.readers.dialect import NOT_TEXT
from pipelines.ingest.readers.regular_lines import read_regular_json
from pipelines.ingest.readers.streams import Chunk
from recsys_vae.native.tables import count_lines

Lines = list[tuple[int, bytes]]
"""Numbers of lines, and their text."""


class JsonLines:
    """A file of JSON lines that is open. Its columns are known when it has been read."""

    columns: tuple[str, ...] = ()

    def __init__(self, chunks: Iterator[Chunk], wanted: Sequence[str] | None, *, numbers: bool = False) -> None:
        """`numbers`: whether columns may come as numbers, or as bytes."""
        self._chunks, self._wanted, self._numbers = chunks, wanted, numbers

    def __iter__(self) -> Iterator[Block]:
        for chunk in self._chunks:
            if chunk.too_long:
                yield replace(none(), rejected=chunk.too_long, taken=len(chunk.too_long))
            if chunk.data:
                yield parse(chunk.data, chunk.first, self._wanted, cut=chunk.cut, numbers=self._numbers)


def parse(data: bytes, first: int, wanted: Sequence[str] | None, *, cut: bool = False, numbers: bool = False) -> Block:
    """Read whole lines.

    Args:
        data: ends with a line feed.
        first: number of its first line.
        wanted: keys that are read, as text; None: all, nested values in their own types.
        cut: the file ends without a line end, so that its last line may be half of one.
        numbers: whether columns may come as numbers, or as bytes.
    """
    height = count_lines(data)
    if numbers and wanted is not None:
        regular = read_regular_json(data, height, first, wanted)
        if regular is not None:
            return regular
    # An escaped half of a surrogate pair is no character; polars takes it for another one.
    if b"\\u" not in data or b"\\ud" not in data.lower():
        rows = _rows(data, wanted)
        if rows is not None and rows.height == height:
            nested = _nested(rows) if wanted is not None else ()
            if not nested:
                return Block(rows, np.arange(first, first + height), taken=height)
    return _one_by_one(data, first, height, wanted, cut=cut)


def _rows(data: bytes, wanted: Sequence[str] | None) -> pl.DataFrame | None:
    """What polars reads; None where it gives up."""
    try:
        if wanted is not None:
            rows = pl.read_ndjson(data, schema=dict.fromkeys(wanted, pl.String()))
            absent = [name for name in wanted if f'"{name}"'.encode() not in data]
            return rows.drop(name for name in absent if rows[name].null_count() == rows.height)
        # Plain values as text: a type that was guessed need not hold for other blocks.
        guessed = pl.read_ndjson(data, infer_schema_length=None).schema
        return pl.read_ndjson(
            data, schema={name: dtype if dtype.is_nested() else pl.String() for name, dtype in guessed.items()}
        )
    except (pl.exceptions.PolarsError, ValueError, OSError):
        # OSError: a line that begins as packed bytes do is taken for them.
        return None


def _nested(rows: pl.DataFrame) -> list[str]:
    """Columns with a value that may be a list or an object."""
    starts = rows.select(pl.all().str.starts_with("[").any() | pl.all().str.starts_with("{").any())
    return [name for name in rows.columns if rows.height and starts[name].item()]


def _one_by_one(data: bytes, first: int, height: int, wanted: Sequence[str] | None, *, cut: bool) -> Block:
    numbered = list(enumerate(data.split(b"\n")[:-1], first))
    filled = [(number, line) for number, line in numbered if line and not line.isspace()]
    rejected: list[Rejected] = []
    good: Lines = []
    for number, line in filled:
        reason = _why_no_row(line, wanted)
        if reason:
            is_cut = cut and number == numbered[-1][0]
            rejected.append(Rejected(number, plain_raw(line), f"{reason}: the file is cut off" if is_cut else reason))
        else:
            good.append((number, line))
    frames, numbers = _by_halves(good, wanted, rejected)
    return Block(
        pl.concat(frames, how="diagonal_relaxed") if frames else none().rows,
        np.asarray(numbers, np.int64),
        tuple(sorted(rejected, key=lambda one: one.line)),
        taken=height,
        blank=height - len(filled),
    )


def _by_halves(
    lines: Lines, wanted: Sequence[str] | None, rejected: list[Rejected]
) -> tuple[list[pl.DataFrame], list[int]]:
    """Rows of lines that Python reads; those that polars does not read are found by halving."""
    if not lines:
        return [], []
    rows = _rows(b"\n".join(line for _, line in lines) + b"\n", wanted)
    if rows is not None and rows.height == len(lines):
        return [rows], [number for number, _ in lines]
    if len(lines) == 1:
        number, line = lines[0]
        rejected.append(Rejected(number, plain_raw(line), "not a JSON object that can be read"))
        return [], []
    half = len(lines) // 2
    left, right = _by_halves(lines[:half], wanted, rejected), _by_halves(lines[half:], wanted, rejected)
    return left[0] + right[0], left[1] + right[1]


def _why_no_row(line: bytes, wanted: Sequence[str] | None) -> str:
    try:
        found = json.loads(line.decode(), parse_constant=_no_constant, parse_int=str, parse_float=str)
    except UnicodeDecodeError:
        return NOT_TEXT
    except RecursionError:
        return "not JSON that can be read (nested too deep)"
    except ValueError as error:
        return f"not JSON ({str(error)[:100]})"
    return _why_no_object(found, wanted)


def _why_no_object(found: Any, wanted: Sequence[str] | None) -> str:
    if not isinstance(found, dict):
        return "not a JSON object"
    for key, value in found.items():
        if _is_broken(key) or (isinstance(value, str) and _is_broken(value)):
            return "half of a surrogate pair, which is no character"
        if wanted is not None and key in wanted and isinstance(value, list | dict):
            kind = "a list" if isinstance(value, list) else "an object"
            return f"{key[:50]!r} holds {kind}, expected one plain value"
    return ""


def _is_broken(text: str) -> bool:
    return not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text)


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no number of JSON")


def none() -> Block:
    """No rows, and no columns."""
    return Block(pl.DataFrame(), np.empty(0, np.int64))
