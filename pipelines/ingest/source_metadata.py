"""Metadata that comes with logs: copied into the dataset, its fields declared, and held against its users and items."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pipelines.dataset.directory import DatasetDir
from pipelines.dataset.fields import ITEM_OPTION, USER_OPTION, Fields, check_fields, unreadable_numbers
from pipelines.ingest.log_rows import Quarantine
from pipelines.ingest.log_sources import Source
from pipelines.ingest.metadata_tables import MetadataFile, check_described, write_metadata
from pipelines.ingest.summary import Count
from recsys_vae.data import columns as c


@dataclass(frozen=True)
class MetadataRows:
    """Rows of the metadata: of users, of items, and those that could not be read, by reason."""

    users: int | None = None
    items: int | None = None
    quarantined: tuple[Count, ...] = ()


@dataclass(frozen=True)
class SourceMetadata:
    """The metadata of a source, for one dataset; `step` is told what begins."""

    source: Source
    dataset: DatasetDir
    step: Callable[[str], None]

    def write(self, quarantine: Quarantine) -> MetadataRows:
        """Write the tables of users and items, and what is declared of their fields."""
        users = self._write(self.source.users, c.USER, self.dataset.users_path, quarantine)
        items = self._write(self.source.items, c.ITEM, self.dataset.items_path, quarantine)
        fields = self.source.fields
        check_fields(fields.users, self.dataset.users_path, USER_OPTION)
        check_fields(fields.items, self.dataset.items_path, ITEM_OPTION)
        if fields != Fields():
            fields.write(self.dataset.fields_path)
        return MetadataRows(users, items, quarantine.take_counts())

    def described(self) -> tuple[int | None, int | None]:
        """Users and items with interactions that the metadata name; None where there are none.

        Raises:
            DataError: a table describes nobody.
        """
        return (
            self._described(self.source.users, c.USER, self.dataset.users_path),
            self._described(self.source.items, c.ITEM, self.dataset.items_path),
        )

    def unreadable_numbers(self) -> tuple[Count, ...]:
        """Fields that are declared as numbers, and in how many rows they are none."""
        declared = (
            (self.source.fields.users, self.dataset.users_path),
            (self.source.fields.items, self.dataset.items_path),
        )
        found = [unreadable_numbers(fields, table).items() for fields, table in declared]
        return tuple(Count(*pair) for pairs in found for pair in pairs)

    def _write(self, path: Path | None, id_column: str, target: Path, quarantine: Quarantine) -> int | None:
        if path is None:
            return None
        self.step(f"copying {path.name}")
        source = self.source
        file = MetadataFile(
            path,
            mapping=source.mapping.updated(source.said.mapping_of_all()),
            own=source.users_map if id_column == c.USER else source.items_map,
            says=source.said.of_metadata(path),
            prefix=source.said.prefixes_of(path).get(id_column, ""),
            layout=source.layouts.get(path),
        )
        return write_metadata(file, id_column, target, quarantine)

    def _described(self, path: Path | None, id_column: str, table: Path) -> int | None:
        return None if path is None else check_described(self.dataset, table, id_column, path.name)
