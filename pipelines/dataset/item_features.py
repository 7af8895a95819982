"""Item metadata: what a dataset knows of its items besides interactions, in the columns of a schema."""

from collections.abc import Sequence
from typing import Any

import polars as pl
from scipy.sparse import csr_array, hstack

from pipelines.dataset.directory import DatasetDir
from pipelines.dataset.fields import Fields
from pipelines.dataset.sentence_features import Embed, load_encoder, sentence_columns
from recsys_vae.data.columns import ITEM
from recsys_vae.data.features import SENTENCE, Field, Schema
from recsys_vae.data.ids import IdMap


def content_of(dataset: DatasetDir, items: IdMap, embed: Embed | None = None) -> csr_array:
    """The declared content of items, shape (n_items, n_features); empty rows where the table does not name one.

    Args:
        embed: encoder of fields of kind sentence, whose columns come last; a pretrained one when None.

    Raises:
        ConfigError: there are such fields, and no encoder.
    """
    fields = Fields.read(dataset.fields_path).items
    records = _records(dataset, items, fields)
    blocks = [_schema(fields, records).encode(records)]
    for field in fields:
        if field.kind == SENTENCE:
            embed = embed or load_encoder()
            blocks.append(sentence_columns([record[field.name] for record in records], embed))
    return blocks[0] if len(blocks) == 1 else csr_array(hstack(blocks, format="csr"), dtype="float32")


def item_schema(dataset: DatasetDir, items: IdMap) -> Schema:
    """How the declared content of items is read, but for sentences."""
    fields = Fields.read(dataset.fields_path).items
    return _schema(fields, _records(dataset, items, fields))


def _records(dataset: DatasetDir, items: IdMap, fields: Sequence[Field]) -> list[dict[str, Any]]:
    table = dataset.table(dataset.items_path).select(ITEM, *(field.name for field in fields))
    found = pl.LazyFrame({ITEM: items.values}).join(table, on=ITEM, how="left", maintain_order="left")
    return found.drop(ITEM).collect().to_dicts()


def _schema(fields: Sequence[Field], records: Sequence[dict[str, Any]]) -> Schema:
    return Schema.learn([field for field in fields if field.kind != SENTENCE], records)
