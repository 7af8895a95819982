"""Item metadata: what a dataset knows of its items besides interactions, in the columns of a schema."""

import polars as pl
from scipy.sparse import csr_array, hstack

from pipelines.dataset.directory import DatasetDir
from pipelines.dataset.sentence_features import Embed, load_encoder, sentence_columns
from pipelines.ingest.metadata_tables import Fields
from pipelines.training.fit import ModelSpec
from recsys_vae.data.columns import ITEM
from recsys_vae.data.features import SENTENCE, Schema
from recsys_vae.data.ids import IdMap
from recsys_vae.errors import ConfigError


def item_metadata_for(spec: ModelSpec, dataset: DatasetDir, items: IdMap) -> csr_array | None:
    """Metadata of the items that a model learns from, where its encoder takes any.

    Raises:
        ConfigError: it is to take them, and the dataset declares none.
    """
    if not spec.may_take_item_metadata:
        return None
    if not Fields.read(dataset.fields_path).items:
        raise ConfigError(
            f"item_metadata asks for metadata of items, and dataset {dataset.name!r} declares none. Ingest it with "
            "--items TABLE --item-field NAME:KIND, or leave item_metadata out."
        )
    return content_of(dataset, items)


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
