"""Browse: what a page of the catalogue asks for, as the query of its address.

find=TEXT                an id, or a part of a title
filter=OP:COLUMN:VALUE   as on the page of a user
where=JSON               a filter as the API takes it
show=NAME                one of SHOWS
sort=NAME                one of SORTS
often=PERCENT            of the lists, from which an item is shown too often
after=KEY:ROW before=KEY:ROW     the item that the page begins after, or ends before
variant=NAME
"""

import json
from dataclasses import dataclass, replace
from typing import Any, Final, NamedTuple
from urllib.parse import urlencode

from pydantic import TypeAdapter
from starlette.datastructures import QueryParams

from service.schemas.filters import Filter
from service.ui.play import OPERATIONS, Condition, conditions_in, filter_of

FILTER: Final[TypeAdapter[Any]] = TypeAdapter(Filter)
ALL, COLD, NEVER_SHOWN, OFTEN, HIDDEN, DELETED, UNKNOWN = (
    "all",
    "cold",
    "never",
    "often",
    "hidden",
    "deleted",
    "unknown",
)
SHOWS: Final = {
    ALL: "all items of the bundle",
    COLD: "cold: without an interaction",
    NEVER_SHOWN: "never shown",
    OFTEN: "shown too often",
    HIDDEN: "hidden",
    DELETED: "deleted",
    UNKNOWN: "changed, but not in the bundle",
}
POPULAR, LEAST, NEWEST, SHOWN = "popular", "least", "newest", "shown"
SORTS: Final = {
    POPULAR: "best known first",
    LEAST: "least known first",
    NEWEST: "newest first",
    SHOWN: "most shown first",
}
OF_RECORD: Final = (NEVER_SHOWN, OFTEN)
"""What the record of shown lists says."""
DEFAULT_OFTEN: Final = 10.0


class Cursor(NamedTuple):
    """Where an item stands in an order: its key, and its row among those with the same one."""

    key: float
    row: int

    def __str__(self) -> str:
        return f"{self.key!r}:{self.row}"

    @classmethod
    def read(cls, text: str | None) -> "Cursor | None":
        """What `str` wrote; None for anything else."""
        key, _, row = (text or "").partition(":")
        try:
            found = cls(float(key), int(row))
        except ValueError:
            return None
        return found if found.key == found.key else None


@dataclass(frozen=True)
class Browse:
    """What is asked for."""

    find: str = ""
    filters: tuple[Condition, ...] = ()
    where: str = ""
    show: str = ALL
    sort: str = POPULAR
    often: float = DEFAULT_OFTEN
    variant: str = ""
    after: Cursor | None = None
    before: Cursor | None = None

    @classmethod
    def read(cls, query: QueryParams) -> "Browse":
        """From the query of an address; what is malformed there counts for nothing."""
        filters = conditions_in(query)
        if query.get("f_column") and query.get("f_value") and query.get("f_op") in OPERATIONS:
            added = Condition(query["f_op"], query["f_column"], query["f_value"])
            filters = tuple(dict.fromkeys((*filters, added)))
        return cls(
            find=query.get("find", "").strip(),
            filters=filters,
            where=query.get("where", "").strip(),
            show=query["show"] if query.get("show") in SHOWS else ALL,
            sort=query["sort"] if query.get("sort") in SORTS else POPULAR,
            often=_percent(query.get("often")),
            variant=query.get("variant", ""),
            after=Cursor.read(query.get("after")),
            before=Cursor.read(query.get("before")),
        )

    @property
    def query(self) -> str:
        """As the query of an address, with its question mark; empty for all items as they come."""
        pairs = [
            *((("find", self.find),) if self.find else ()),
            *(("filter", str(one)) for one in self.filters),
            *((("where", self.where),) if self.where else ()),
            *((("show", self.show),) if self.show != ALL else ()),
            *((("sort", self.sort),) if self.sort != POPULAR else ()),
            *((("often", f"{self.often:g}"),) if self.often != DEFAULT_OFTEN else ()),
            *((("variant", self.variant),) if self.variant else ()),
            *((("after", str(self.after)),) if self.after is not None else ()),
            *((("before", str(self.before)),) if self.before is not None else ()),
        ]
        return f"?{urlencode(pairs)}" if pairs else ""

    @property
    def first(self) -> "Browse":
        """The first page of the same."""
        return replace(self, after=None, before=None)

    def page(self, after: Cursor | None = None, before: Cursor | None = None) -> "Browse":
        """Another page of the same."""
        return replace(self, after=after, before=before)

    def without(self, one: Condition) -> "Browse":
        """Without a condition, from the first page."""
        return replace(self.first, filters=tuple(kept for kept in self.filters if kept != one))

    def showing(self, show: str) -> "Browse":
        """Others of the items, from the first page."""
        return replace(self.first, show=show)

    def condition(self, types: dict[str, str]) -> Any:
        """All that the items' fields have to fit, a filter of the API; None for nothing.

        Args:
            types: of the columns in service.

        Raises:
            ValueError: a part of it is none.
        """
        plain, parts = filter_of(self.filters, types), []
        if plain is not None:
            parts.append(plain)
        if self.where:
            try:
                parts.append(json.loads(self.where))
            except (ValueError, RecursionError) as error:
                raise ValueError(f"The filter is no JSON: {error}.") from None
        asked = None if not parts else parts[0] if len(parts) == 1 else {"op": "and", "of": parts}
        return None if asked is None else FILTER.validate_python(asked)


def _percent(text: str | None) -> float:
    try:
        found = float(text or "")
    except ValueError:
        return DEFAULT_OFTEN
    return min(found, 100.0) if found > 0 else DEFAULT_OFTEN
