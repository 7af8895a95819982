"""Settings: what was said when a dataset was ingested, and holds for every log that is appended to it."""

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipelines.dataset.fields import Fields
from pipelines.ingest.cleaning import CleaningRules
from pipelines.ingest.log_files import ColumnMap
from pipelines.ingest.log_sources import Source
from pipelines.ingest.said import Said
from recsys_vae.errors import ConfigError

OPTIONS: dict[str, Callable[["Settings"], Any]] = {
    "--map": lambda one: one.said.maps,
    "--format": lambda one: one.said.formats,
    "--separator": lambda one: one.said.tables.separator,
    "--header": lambda one: one.said.tables.header,
    "--columns": lambda one: one.said.tables.columns,
    "--encoding": lambda one: one.said.encodings,
    "--id-prefix": lambda one: one.said.prefixes,
    "--event-weight": lambda one: (one.rules.event_weights, one.rules.file_event_weights),
    "--dislike": lambda one: one.rules.dislikes,
    "--dislike-below": lambda one: one.rules.dislike_below,
    "--min-rating": lambda one: one.rules.min_rating,
    "--keep": lambda one: one.rules.keep,
    "--since": lambda one: one.rules.since,
    "--until": lambda one: one.rules.until,
    "--max-events-per-user": lambda one: one.rules.max_events_per_user,
    "--returns": lambda one: one.rules.returns,
    "--min-user": lambda one: one.rules.min_user,
    "--min-item": lambda one: one.rules.min_item,
    "--users-map": lambda one: one.users_map,
    "--items-map": lambda one: one.items_map,
    "--user-field": lambda one: one.fields.users,
    "--item-field": lambda one: one.fields.items,
}
"""Of each option of `recsys ingest` what it sets."""


@dataclass(frozen=True)
class Settings:
    """What was said of the logs of a dataset, and which of their rows are kept.

    Attributes:
        rules: what is kept.
        mapping: which of the logs' columns is which, beside what is said of files.
        said: what is said of files.
        users: metadata file of users, the last that was given.
        items: likewise.
        users_map: which column of it holds the id.
        items_map: likewise.
        fields: which columns of the metadata models may use.
    """

    rules: CleaningRules = field(default_factory=CleaningRules)
    mapping: ColumnMap = field(default_factory=ColumnMap)
    said: Said = field(default_factory=Said)
    users: Path | None = None
    items: Path | None = None
    users_map: ColumnMap = field(default_factory=ColumnMap)
    items_map: ColumnMap = field(default_factory=ColumnMap)
    fields: Fields = field(default_factory=Fields)

    @classmethod
    def of(cls, source: Source, rules: CleaningRules) -> "Settings":
        """Those of an ingest."""
        return cls(
            rules, source.mapping, source.said, source.users, source.items, source.users_map, source.items_map,
            source.fields,
        )  # fmt: skip

    def source(self, logs: tuple[Path, ...]) -> Source:
        """Logs with these settings."""
        return Source(
            logs, self.mapping, users=self.users, items=self.items, users_map=self.users_map, items_map=self.items_map,
            fields=self.fields, said=self.said,
        )  # fmt: skip

    def check_same(self, given: "Settings", options: Collection[str]) -> None:
        """Raise ConfigError where one of the options that were given says other than these settings do."""
        for option in options:
            ours, theirs = OPTIONS[option](self), OPTIONS[option](given)
            if ours != theirs:
                raise ConfigError(
                    f"{option} contradicts the dataset: it was ingested with {_plain(ours)}, and {_plain(theirs)} is "
                    "given now. What is appended follows the settings of the first ingest: leave the option out, or "
                    "ingest all logs anew with --overwrite."
                )


def _plain(value: Any) -> str:
    if value in (None, (), False) or value == ColumnMap():
        return "none"
    pairs = value.pairs if isinstance(value, ColumnMap) else value
    return ", ".join(_plain(one) for one in pairs if one not in (None, ())) if isinstance(pairs, tuple) else str(pairs)
