"""Item metadata: what a dataset knows of its items besides interactions, in the columns of a schema."""

import polars as pl
from scipy.sparse import csr_array, hstack

from pipelines.dataset.directory import DatasetDir
from pipelines.dataset.fields import Fields
from pipelines.dataset.sentence_features import Embed, load_encoder, sentence_columns
from recsys_vae.data.columns import ITEM
from recsys_vae.data.features import SENTENCE, Schema
from recsys_vae.data.ids import IdMap


def content_of(dataset: DatasetDir, items: IdMap, embed: Embed | None = None) -> csr_array:
    """The declared content of items, shape (n_items, n_features); empty rows where the table does not name one.

    Args:
        embed: encoder of fields of kind sentence, whose columns come last; a pretrained one when None.

    Raises:
        ConfigError: there are such fields, and no encoder.
    """
    fields = Fields.read(dataset.fields_path).items
    names = [field.name for field in fields]
    table = dataset.table(dataset.items_path).select(ITEM, *names)
    found = pl.LazyFrame({ITEM: items.values}).join(table, on=ITEM, how="left", maintain_order="left")
    records = found.drop(ITEM).collect().to_dicts()
    counted = [field for field in fields if field.kind != SENTENCE]
    blocks = [Schema.learn(counted, records).encode(records)]
    for field in fields:
        if field.kind == SENTENCE:
            embed = embed or load_encoder()
            blocks.append(sentence_columns([record[field.name] for record in records], embed))
    return blocks[0] if len(blocks) == 1 else csr_array(hstack(blocks, format="csr"), dtype="float32")
