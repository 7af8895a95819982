"""User metadata: what a dataset knows of its users besides interactions, in the columns of a schema."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import polars as pl
from scipy.sparse import csr_array

from pipelines.dataset.directory import DatasetDir
from pipelines.dataset.fields import Fields
from recsys_vae.data.columns import USER
from recsys_vae.data.features import Record, Schema
from recsys_vae.data.ids import IdMap
from recsys_vae.evaluation.splits import HeldOut


@dataclass(frozen=True, eq=False)
class UserMetadata:
    """A dataset's users through the eyes of a schema.

    Attributes:
        dataset: whose table of users is read.
        schema: how.
    """

    dataset: DatasetDir
    schema: Schema

    @classmethod
    def learn(cls, dataset: DatasetDir, users: IdMap) -> "UserMetadata":
        """Learn the schema from the users that a model learns from; one without fields where none are declared."""
        fields = Fields.read(dataset.fields_path).users
        names = tuple(field.name for field in fields)
        return cls(dataset, Schema.learn(fields, list(_records(dataset, names, users.values)) if names else []))

    def rows(self, users: pl.Series) -> csr_array:
        """Rows of users by id, shape (len(users), width); empty for those whom the table does not name."""
        names = tuple(block.name for block in self.schema.blocks)
        if not names or not self.dataset.users_path.is_file():
            return csr_array((len(users), self.schema.width), dtype="float32")
        return self.schema.encode(list(_records(self.dataset, names, users)))

    def of(self, part: HeldOut) -> HeldOut:
        """The same held-out users with their metadata; as they are where there is no field."""
        return replace(part, metadata=self.rows(part.users.values)) if self.schema.width else part


def _records(dataset: DatasetDir, names: tuple[str, ...], users: pl.Series) -> Iterator[Record]:
    present = [name for name in names if name in dataset.table(dataset.users_path).collect_schema()]
    wanted = pl.LazyFrame({USER: users})
    table = dataset.table(dataset.users_path).select(USER, *present)
    found = wanted.join(table, on=USER, how="left", maintain_order="left").drop(USER).collect()
    return found.iter_rows(named=True) if present else iter([{}] * len(users))
