"""Play: what a page changes about the question of a user's list, as the query of its address, and as a request.

All of it stands in the address, so that a page can be sent to a colleague who sees the same.

    add=ID drop=ID           items put into the history, and taken out of it
    m.NAME=VALUE             metadata of the user
    filter=OP:COLUMN:VALUE   OP is one of is, not, least, most
    boost=FACTOR:COLUMN:VALUE, or FACTOR::ID for one item
    cap=N:COLUMN             at most N items that share a value
    k diversity repeat variant why item
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final
from urllib.parse import quote, unquote, urlencode

from starlette.datastructures import QueryParams

from service.ranking.item_columns import Value

DEFAULT_K: Final = 20
MOST_K: Final = 100
OPERATIONS: Final = {"is": "is", "not": "is not", "least": "is at least", "most": "is at most"}
META: Final = "m."
MOST_PARTS: Final = 32
"""Of each kind; an address is not to grow without bounds."""


@dataclass(frozen=True)
class Condition:
    """What an item's metadata have to fit, as a person says it."""

    operation: str
    column: str
    value: str

    def __str__(self) -> str:
        return f"{self.operation}:{quote(self.column, safe='')}:{self.value}"


@dataclass(frozen=True)
class Push:
    """A factor on the scores of items with a value, or of one item where `column` is empty."""

    factor: str
    column: str
    value: str

    def __str__(self) -> str:
        return f"{self.factor}:{quote(self.column, safe='')}:{self.value}"


@dataclass(frozen=True)
class Cap:
    """At most so many items share a value."""

    n: str
    column: str

    def __str__(self) -> str:
        return f"{self.n}:{quote(self.column, safe='')}"


@dataclass(frozen=True)
class Play:
    """What is changed; the default changes nothing.

    Attributes:
        why: whether to say what pushes each item up.
        item: id of the item that is asked about: why not that.
    """

    add: tuple[str, ...] = ()
    drop: tuple[str, ...] = ()
    metadata: tuple[tuple[str, str], ...] = ()
    filters: tuple[Condition, ...] = ()
    boosts: tuple[Push, ...] = ()
    caps: tuple[Cap, ...] = ()
    k: int = DEFAULT_K
    diversity: float = 0.0
    repeat: str = "exclude"
    variant: str = ""
    why: bool = True
    item: str = field(default="", compare=False)

    @classmethod
    def read(cls, query: QueryParams) -> "Play":
        """From the query of an address; what is malformed there counts for nothing."""
        named = {name.removeprefix(META): text for name, text in query.items() if name.startswith(META) and text}
        return cls(
            add=_several(query, "add"),
            drop=_several(query, "drop"),
            metadata=tuple(sorted(named.items()))[:MOST_PARTS],
            filters=conditions_in(query),
            boosts=tuple(Push(*one) for one in _parts(query, "boost", 3)),
            caps=tuple(Cap(*one) for one in _parts(query, "cap", 2)),
            k=min(max(_whole(query.get("k"), DEFAULT_K), 1), MOST_K),
            diversity=min(max(_real(query.get("diversity")), 0.0), 1.0),
            repeat=query.get("repeat") if query.get("repeat") in ("allow", "only") else "exclude",  # type: ignore[arg-type]
            variant=query.get("variant", ""),
            why=query.get("why") != "no",
            item=query.get("item", ""),
        )

    def with_row(self, query: QueryParams) -> "Play":
        """With what was filled into the empty rows of the form: a filter, a boost and a cap."""
        get = query.get
        filters, boosts, caps = self.filters, self.boosts, self.caps
        if get("f_column") and get("f_value") and get("f_op") in OPERATIONS:
            filters = (*filters, Condition(get("f_op", ""), get("f_column", ""), get("f_value", "")))
        if get("b_value") and get("b_factor"):
            boosts = (*boosts, Push(get("b_factor", ""), get("b_column", ""), get("b_value", "")))
        if get("c_column") and get("c_n"):
            caps = (*caps, Cap(get("c_n", ""), get("c_column", "")))
        return replace(self, filters=_once(filters), boosts=_once(boosts), caps=_once(caps))

    @property
    def changes(self) -> bool:
        """Whether anything is asked otherwise than for the user alone."""
        return replace(self, k=DEFAULT_K, why=True, item="") != Play()

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """Names and texts of the query, of what is not as it is by default."""
        return [
            *(("add", one) for one in self.add),
            *(("drop", one) for one in self.drop),
            *((f"{META}{name}", text) for name, text in self.metadata),
            *(("filter", str(one)) for one in self.filters),
            *(("boost", str(one)) for one in self.boosts),
            *(("cap", str(one)) for one in self.caps),
            *((("k", str(self.k)),) if self.k != DEFAULT_K else ()),
            *((("diversity", f"{self.diversity:g}"),) if self.diversity else ()),
            *((("repeat", self.repeat),) if self.repeat != "exclude" else ()),
            *((("variant", self.variant),) if self.variant else ()),
            *((("why", "no"),) if not self.why else ()),
            *((("item", self.item),) if self.item else ()),
        ]

    @property
    def query(self) -> str:
        """As the query of an address, with its question mark; empty where nothing is changed."""
        pairs = self.pairs
        return f"?{urlencode(pairs)}" if pairs else ""

    def body(self, types: dict[str, str]) -> dict[str, Any]:
        """What `RecommendationRequest` is made of, but for whom; `types` are those of the items' columns."""
        return {
            "metadata": dict(self.metadata),
            "filter": filter_of(self.filters, types),
            "boost": [_boost(one, types) for one in self.boosts],
            "at_most": [{"column": one.column, "n": _whole(one.n, 0)} for one in self.caps],
            "k": self.k,
            "diversity": self.diversity,
            "repeat": self.repeat,
        }

    def asking(self, item_id: str) -> "Play":
        """The same, about an item."""
        return replace(self, item=item_id)

    def adding(self, item_id: str) -> "Play":
        """The same, with an item at the end of the history."""
        kept = tuple(one for one in self.add if one != item_id)
        return replace(self, add=(*kept, item_id), drop=tuple(one for one in self.drop if one != item_id))

    def dropping(self, item_id: str) -> "Play":
        """The same, without an item of the history."""
        kept = tuple(one for one in self.add if one != item_id)
        return replace(self, add=kept, drop=(*self.drop, item_id) if kept == self.add else self.drop)

    def putting_back(self, item_id: str) -> "Play":
        """The same, with an item of the history that was taken out."""
        return replace(self, drop=tuple(one for one in self.drop if one != item_id))

    def without(self, part: Condition | Push | Cap) -> "Play":
        """The same, without a filter, a boost or a cap."""
        return replace(
            self,
            filters=tuple(one for one in self.filters if one != part),
            boosts=tuple(one for one in self.boosts if one != part),
            caps=tuple(one for one in self.caps if one != part),
        )


def typed(text: str, kind: str) -> Value:
    """A value that a person typed, as a column of this type has it; text where it is none of those."""
    if kind.startswith(("Int", "UInt", "Float", "List(Int", "List(UInt", "List(Float")):
        number = _real(text, None)
        if number is not None:
            return int(number) if number == int(number) else number
    if kind == "Boolean" and text.lower() in ("true", "yes", "false", "no"):
        return text.lower() in ("true", "yes")
    return text


def condition(one: Condition, types: dict[str, str]) -> dict[str, Any]:
    """A filter of the API."""
    value = typed(one.value, types.get(one.column, ""))
    if one.operation in ("least", "most"):
        return {"op": "range", "column": one.column, "min" if one.operation == "least" else "max": value}
    equal = {"op": "eq", "column": one.column, "value": value}
    return equal if one.operation == "is" else {"op": "not", "of": equal}


def conditions_in(query: QueryParams) -> tuple[Condition, ...]:
    """The parameters `filter` of an address."""
    return tuple(Condition(*one) for one in _parts(query, "filter", 3) if one[0] in OPERATIONS)


def filter_of(several: Sequence[Condition], types: dict[str, str]) -> dict[str, Any] | None:
    """All of several conditions, as a filter of the API; None for none."""
    found = [condition(one, types) for one in several]
    return None if not found else found[0] if len(found) == 1 else {"op": "and", "of": found}


def _boost(one: Push, types: dict[str, str]) -> dict[str, Any]:
    chosen = (
        {"where": condition(Condition("is", one.column, one.value), types)} if one.column else {"items": [one.value]}
    )
    return {"by": "multiply", "value": _real(one.factor, 0.0), **chosen}


def _several(query: QueryParams, name: str) -> tuple[str, ...]:
    return _once(tuple(text for text in query.getlist(name) if text))


def _once(found: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(dict.fromkeys(found))[:MOST_PARTS]


def _parts(query: QueryParams, name: str, n: int) -> list[list[str]]:
    """The parts of each value of a parameter; the second is a column."""
    found = [text.split(":", n - 1) for text in _several(query, name)]
    return [[one[0], unquote(one[1]), *one[2:]] for one in found if len(one) == n]


def _whole(text: str | None, default: int) -> int:
    try:
        return int(text or "")
    except ValueError:
        return default


def _real(text: str | None, default: Any = 0.0) -> Any:
    try:
        number = float(text or "")
    except ValueError:
        return default
    return number if number - number == 0 else default
