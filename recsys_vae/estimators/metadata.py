"""Metadata as estimators take them: a table by id, or records, for the rows of a schema."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import polars as pl
from scipy.sparse import csr_array

from recsys_vae.data.columns import ITEM, USER
from recsys_vae.data.features import CATEGORY, NUMBER, SENTENCE, SET, Field, Record, Schema
from recsys_vae.data.ids import IdMap, as_series
from recsys_vae.errors import ConfigError, DataError, UnknownNameError
from recsys_vae.evaluation.splits import HeldOut
from recsys_vae.frames import columns_of, is_frame
from recsys_vae.models.configs.hybrid import HybridOptions
from recsys_vae.training.fit import ModelSpec

Metadata: TypeAlias = Any
"""A frame with a column user_id; a mapping of user id to a record; one record a user, in the order in which they are
asked about; or one record, for one user. A record is a mapping of field to value."""


@dataclass(frozen=True, eq=False)
class MetadataTable:
    """What is known of users or items, by id.

    Attributes:
        ids: of those whom the table names.
        records: of each, in the order of `ids`.
        fields: columns of the table, with the kind of each.
    """

    ids: IdMap
    records: Sequence[Record]
    fields: tuple[Field, ...]

    @classmethod
    def read(cls, frame: Any, key: str, kinds: Mapping[str, str] | None = None) -> "MetadataTable":
        """Read a frame, polars or pandas, of one row an id.

        Args:
            frame: the column `key`, and a column a field.
            key: `user_id` or `item_id`.
            kinds: of fields whose kind is not that of their column: numbers are numbers, lists are sets, all else are
                categories.

        Raises:
            SchemaError: the frame has no such column.
            DataError: it is no frame, or an id is null, or stands there twice.
            ConfigError: there is no such kind, or it is one that only `recsys train` has.
        """
        names = _names(frame)
        labels, *columns = columns_of(frame, key, *(name for name in names if name != key))
        ids = IdMap.from_labels(labels)
        if len(ids) < len(labels):
            raise DataError(f"The metadata name {len(labels) - len(ids)} values of {key} again: expected a row an id.")
        order = pl.Series(ids.find(labels)).arg_sort()
        records = pl.DataFrame(columns)[order].to_dicts() if columns else [{} for _ in labels]
        return cls(ids, records, tuple(_field(column, kinds or {}) for column in columns))

    def of(self, labels: pl.Series) -> list[Record]:
        """A record for each id; an empty one where the table does not name it."""
        return [self.records[row] if row >= 0 else {} for row in self.ids.find(labels).tolist()]


@dataclass(frozen=True, eq=False)
class Inputs:
    """What a model is to learn from besides interactions.

    Attributes:
        spec: the model, set to take it.
        schema: how metadata of users are read; None without any.
        users: rows of the training users, shape (n_users, n_features); None without any.
        items: rows of the items, shape (n_items, n_features); None without any.
        validation: users to choose on, with their metadata.
    """

    spec: ModelSpec
    schema: Schema | None
    users: csr_array | None
    items: csr_array | None
    validation: HeldOut | None

    @classmethod
    def read(
        cls,
        spec: ModelSpec,
        of: tuple[IdMap, IdMap],
        validation: HeldOut | None,
        user_metadata: Any = None,
        item_metadata: Any = None,
        kinds: Mapping[str, str] | None = None,
    ) -> "Inputs":
        """Learn the schemas from the training users and items, and encode these.

        Args:
            spec: a model.
            of: ids of the users and of the items that it learns from.
            validation: users to choose on.
            user_metadata: a frame with a column user_id.
            item_metadata: a frame with a column item_id.
            kinds: see `MetadataTable.read`.

        Raises:
            ConfigError: the model has no place for them.
            UnknownNameError: a kind is given for a field that there is not.
            SchemaError, DataError: as of `MetadataTable.read`.
        """
        spec = _taking(spec, users=user_metadata is not None, items=item_metadata is not None)
        fields = {name for frame in (user_metadata, item_metadata) if frame is not None for name in _names(frame)}
        if unknown := (kinds or {}).keys() - fields:
            raise UnknownNameError("field of the metadata", min(unknown), fields)
        schema = users = items = None
        if user_metadata is not None:
            table = MetadataTable.read(user_metadata, USER, kinds)
            records = table.of(of[0].labels())
            schema = Schema.learn(table.fields, records)
            spec, users = spec.with_schema(schema), schema.encode(records)
            if validation is not None:
                validation = replace(validation, metadata=schema.encode(table.of(validation.users.labels())))
        if item_metadata is not None:
            table = MetadataTable.read(item_metadata, ITEM, kinds)
            records = table.of(of[1].labels())
            items = Schema.learn(table.fields, records).encode(records)
        return cls(spec, schema, users, items, validation)


def encoded(metadata: Metadata, schema: Schema | None, histories: Any, users: pl.Series) -> csr_array | None:
    """Rows of the users asked about, shape (len(users), n_features); None for nothing.

    Args:
        metadata: in any form, or None.
        schema: of the model; None where it takes none.
        histories: as they were given: users of a mapping are asked about in its order, and a part of a split may have
            metadata of its own.
        users: ids of the rows.

    Raises:
        DataError: the model takes none, it is none of the forms, there is not one record a user, or ids of users are
            of another type than those asked about.
    """
    if metadata is None:
        return histories.metadata if schema is not None and isinstance(histories, HeldOut) else None
    if schema is None:
        raise DataError("This model takes no metadata of users: it was fitted without any. Leave metadata out.")
    if is_frame(metadata):
        return schema.encode(MetadataTable.read(metadata, USER).of(users))
    if isinstance(metadata, Mapping) and (not metadata or all(isinstance(one, Mapping) for one in metadata.values())):
        if metadata:
            IdMap.from_labels(as_series(list(metadata))).find(users)  # raises where ids are of another type
        return schema.encode([metadata.get(user, {}) for user in users.to_list()])
    records = _records(metadata)
    if len(records) != len(users):
        raise DataError(f"{len(records)} records of metadata were given for {len(users)} users: expected one a user.")
    if isinstance(histories, Mapping):
        by_user = dict(zip(histories, records, strict=True))
        records = [by_user[user] for user in users.to_list()]
    return schema.encode(records)


def _records(metadata: Metadata) -> list[Record]:
    if isinstance(metadata, Mapping):
        return [metadata]
    if isinstance(metadata, Sequence) and all(isinstance(one, Mapping) for one in metadata):
        return list(metadata)
    raise DataError(
        "Metadata are a record a user, such as [{'age': 30}], a mapping of users to records, or a frame with a column "
        f"{USER}; got {type(metadata).__name__}."
    )


def _names(frame: Any) -> list[str]:
    if not is_frame(frame):
        raise DataError(f"Metadata are a polars or pandas frame with a row an id; got {type(frame).__name__}.")
    return frame.collect_schema().names() if isinstance(frame, pl.LazyFrame) else [str(name) for name in frame.columns]


def _field(column: pl.Series, kinds: Mapping[str, str]) -> Field:
    kind = kinds.get(column.name) or (
        NUMBER if column.dtype.is_numeric() else SET if isinstance(column.dtype, pl.List | pl.Array) else CATEGORY
    )
    if kind == SENTENCE:
        raise ConfigError(f"Field {column.name!r} is of kind {SENTENCE}, which `recsys train` takes: here, say text.")
    return Field(column.name, kind)


def _taking(spec: ModelSpec, *, users: bool, items: bool) -> ModelSpec:
    """The model, set to take what is given.

    Raises:
        ConfigError: it has no place for that.
    """
    if isinstance(spec.config, HybridOptions):
        config = replace(
            spec.config,
            user_metadata=spec.config.user_metadata or users,
            item_metadata=spec.config.item_metadata or items,
        )
        return replace(spec, config=config)
    if items or (users and not spec.may_take_metadata):
        what = "items" if items else "users"
        raise ConfigError(f"{spec.name} takes no metadata of {what}; docs/cold-start.md says which models do.")
    return spec
