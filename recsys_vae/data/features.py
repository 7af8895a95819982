"""Metadata: what is known of users or items besides interactions, as sparse rows that models and tiers can use.

A dataset declares its fields; which values there are is learned from a table. Each field owns a block of columns:

category   one column a value; 1 where a row has it
set        the same for several values in one row, which share a weight of 1
text       one column a word; words that few rows have weigh more (TF-IDF), a row has length 1
number     two columns: the number, standardised and held within 5 deviations, and a 1 that says it is known
sentence   of items only: a vector from a pretrained encoder, which a schema has no part in (pipelines/dataset)

What is missing, unseen or unreadable leaves the block of its field empty. Weights of the columns are embeddings: a row
times a matrix adds up the embeddings of all that is known.
"""

import json
import math
import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from recsys_vae.errors import ConfigError, DataError, UnknownNameError
from recsys_vae.settings import from_plain

if TYPE_CHECKING:
    from scipy.sparse import csr_array

CATEGORY, SET, TEXT, NUMBER, SENTENCE = KINDS = ("category", "set", "text", "number", "sentence")
SEPARATOR = "|"
"""Between the values of a set that is written as one text."""
MOST_VALUES = 1000
"""Values of a field that get a column; the most frequent ones."""
MOST_DEVIATIONS = 5.0
WORDS = re.compile(r"\w+")

Record = Mapping[str, Any]
"""What is known of one user or item, by name of the field."""


@dataclass(frozen=True)
class Field:
    """A field, as a dataset declares it.

    Attributes:
        name: of the column in the table.
        kind: `category`, `set`, `text`, `number` or `sentence`.
    """

    name: str
    kind: str

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ConfigError(f"Field {self.name!r} is of kind {self.kind!r}; expected one of {', '.join(KINDS)}.")

    @classmethod
    def parse(cls, text: str) -> "Field":
        """Read `NAME:KIND`, as in `age:number`.

        Raises:
            ConfigError: it is written otherwise.
        """
        name, _, kind = text.rpartition(":")
        if not name:
            raise ConfigError(f"A field is written NAME:KIND, as in age:number or genres:set; got {text!r}.")
        return cls(name, kind)


@dataclass(frozen=True)
class Block:
    """A field with what was learned of it.

    Attributes:
        name: as declared.
        kind: as declared.
        values: of a category or set, or words of a text, one a column, ascending.
        weights: of the words of a text, as many: 1 + log((1 + rows) / (1 + rows with the word)).
        mean: of a number.
        deviation: of a number.
    """

    name: str
    kind: str
    values: tuple[str, ...] = ()
    weights: tuple[float, ...] = ()
    mean: float = 0.0
    deviation: float = 1.0

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise UnknownNameError("kind of field", self.kind, KINDS)

    @classmethod
    def learn(cls, field: Field, cells: Iterable[Any]) -> "Block":
        """Learn the values that occur, or how numbers are spread."""
        if field.kind == NUMBER:
            numbers = [number for cell in cells if (number := as_number(cell)) is not None]
            mean, deviation = (float(np.mean(numbers)), float(np.std(numbers))) if numbers else (0.0, 1.0)
            return cls(field.name, field.kind, mean=mean, deviation=deviation if deviation > 0 else 1.0)
        found = [as_values(cell, field.kind) for cell in cells]
        counts = Counter(value for values in found for value in values)
        values = tuple(sorted(sorted(counts, key=lambda value: (-counts[value], value))[:MOST_VALUES]))
        if field.kind != TEXT:
            return cls(field.name, field.kind, values)
        rare = (1 + math.log((1 + len(found)) / (1 + counts[value])) for value in values)
        return cls(field.name, field.kind, values, tuple(rare))

    def check(self) -> None:
        """Raise ValueError unless it is such as `learn` makes."""
        if not isinstance(self.name, str) or self.kind not in KINDS or self.kind == SENTENCE:
            raise ValueError(f"field {self.name!r} is of kind {self.kind!r}")
        if not all(isinstance(value, str) for value in self.values) or list(self.values) != sorted(set(self.values)):
            raise ValueError(f"the values of {self.name!r} are not texts that ascend")
        if len(self.weights) != (len(self.values) if self.kind == TEXT else 0):
            raise ValueError(f"{self.name!r} has {len(self.weights)} weights for {len(self.values)} values")
        numbers = (*self.weights, self.mean, self.deviation)
        if not all(map(math.isfinite, numbers)) or not min((*self.weights, self.deviation)) > 0:
            raise ValueError(f"{self.name!r} has numbers that are not finite, or not above 0")

    @property
    def width(self) -> int:
        """Number of columns."""
        return 2 if self.kind == NUMBER else len(self.values)

    def encode(self, cell: Any) -> list[tuple[int, float]]:
        """Columns, from 0, and their weights; none where nothing is known."""
        if self.kind == NUMBER:
            number = as_number(cell)
            if number is None:
                return []
            held = max(-MOST_DEVIATIONS, min((number - self.mean) / self.deviation, MOST_DEVIATIONS))
            return [(0, held), (1, 1.0)]
        columns = [place for value in as_values(cell, self.kind) if (place := self._place(value)) is not None]
        if self.kind == TEXT:
            length = math.sqrt(sum(self.weights[column] ** 2 for column in columns))
            return [(column, self.weights[column] / length) for column in columns]
        return [(column, 1.0 / len(columns)) for column in columns]

    def _place(self, value: str) -> int | None:
        place = bisect_left(self.values, value)
        return place if place < len(self.values) and self.values[place] == value else None


@dataclass(frozen=True)
class Schema:
    """The fields of a table with what was learned of them, one block after the other."""

    blocks: tuple[Block, ...]

    @classmethod
    def learn(cls, fields: Sequence[Field], records: Sequence[Record]) -> "Schema":
        """Learn from the records of those that a model may learn from.

        Raises:
            ConfigError: a field is named twice, or is one of sentences.
        """
        names = [field.name for field in fields]
        if sentences := [field.name for field in fields if field.kind == SENTENCE]:
            raise ConfigError(
                f"Fields of kind sentence are for items; of users, declare {', '.join(sentences)} as text instead."
            )
        if len(set(names)) < len(names):
            raise ConfigError(f"A field can be declared once; got {', '.join(names)}.")
        return cls(tuple(Block.learn(field, (record.get(field.name) for record in records)) for field in fields))

    @property
    def widths(self) -> tuple[int, ...]:
        """Columns of each field."""
        return tuple(block.width for block in self.blocks)

    @property
    def width(self) -> int:
        """Columns of all fields."""
        return sum(self.widths)

    def encode(self, records: Sequence[Record]) -> "csr_array":
        """Rows of records, float32, shape (len(records), width); a row of which nothing is known is empty."""
        starts, columns, values = [0], list[int](), list[float]()
        for record in records:
            first = 0
            for block in self.blocks:
                for column, value in block.encode(record.get(block.name)):
                    columns.append(first + column)
                    values.append(value)
                first += block.width
            starts.append(len(columns))
        arrays = np.array(values, np.float32), np.array(columns, np.int64), np.array(starts, np.int64)
        from scipy.sparse import csr_array

        matrix = csr_array(arrays, shape=(len(records), self.width))
        matrix.sort_indices()
        return matrix

    def misfits(self, record: Record, encoded: "csr_array") -> tuple[list[str], list[str]]:
        """Names that are no field, and fields whose value is given but says nothing: unseen, or not of their kind.

        Args:
            encoded: the record, as `encode` gives it, shape (1, width).
        """
        ends = np.cumsum(self.widths)
        heard = {self.blocks[place].name for place in np.searchsorted(ends, encoded.indices, side="right").tolist()}
        known = {block.name for block in self.blocks}
        foreign = [name for name in record if name not in known]
        return foreign, [name for name in record if name in known - heard and record[name] is not None]

    def to_json(self) -> str:
        """As a file keeps it."""
        return json.dumps({"blocks": [asdict(block) for block in self.blocks]}, indent=1)

    @classmethod
    def from_json(cls, text: str | bytes) -> "Schema":
        """Read what `to_json` wrote.

        Raises:
            UnknownNameError: it says more of a field than is known, or names a kind of fields that there is not.
            DataError: it is something else.
        """
        try:
            content = json.loads(text)
            if unknown := content.keys() - {"blocks"}:
                raise UnknownNameError("part of a schema", min(unknown), ["blocks"])
            blocks = [
                from_plain(
                    Block, block | {"values": tuple(block["values"]), "weights": tuple(block["weights"])}, "a field"
                )
                for block in content["blocks"]
            ]
            for block in blocks:
                block.check()
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise DataError(f"This is not the schema of metadata: {error}.") from error
        return cls(tuple(blocks))


def check_metadata(metadata: "csr_array", n: int, width: int) -> None:
    """Raise DataError unless the rows belong to n histories, and are as wide as the model was made for."""
    from scipy.sparse import csr_array

    if not isinstance(metadata, csr_array) or metadata.dtype != np.float32:
        raise DataError(
            f"Metadata are a scipy csr_array of float32, got {type(metadata).__name__} of {metadata.dtype}."
        )
    if metadata.shape != (n, width):
        raise DataError(f"Metadata have shape {metadata.shape}, expected {(n, width)}: one row a history, one schema.")


def as_values(cell: Any, kind: str) -> list[str]:
    """The distinct values in a cell, as text; none where it is empty. 25, 25.0 and "25" are the same value."""
    if kind == TEXT:
        return list(dict.fromkeys(WORDS.findall(str(cell).lower()))) if cell is not None else []
    if kind == SET and isinstance(cell, str):
        cell = cell.split(SEPARATOR)
    cells = cell if isinstance(cell, list | tuple | set) else [cell]
    texts = [_text(value) for value in cells if value is not None]
    return list(dict.fromkeys(text for text in texts if text))


def as_number(cell: Any) -> float | None:
    """The finite number in a cell, None where there is none."""
    try:
        number = float(cell)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return "" if math.isnan(value) else str(int(value)) if value.is_integer() else str(value)
    return str(value).strip()
