"""New items: items of a dataset that nobody has touched, placed in a trained model by their content."""

import numpy as np
import polars as pl
from scipy.sparse import csr_array

from pipelines.dataset.directory import DatasetDir
from pipelines.dataset.fields import Fields
from pipelines.dataset.item_features import content_of, item_schema
from pipelines.dataset.order import order_in
from pipelines.dataset.sentence_features import load_encoder
from pipelines.training.fit import ModelSpec
from recsys_vae.data.columns import ITEM
from recsys_vae.data.features import SENTENCE
from recsys_vae.data.ids import IdMap
from recsys_vae.data.interactions import Interactions
from recsys_vae.errors import ConfigError
from recsys_vae.models import catalog
from recsys_vae.models.autoencoder import Autoencoder
from recsys_vae.models.content import lift_new_items, place_new_items
from recsys_vae.models.content_map import ContentMap
from recsys_vae.models.sequential import Sequential
from recsys_vae.protocols import FactorizedRecommender, Recommender

L2 = 10.0
"""Of the ridge regression; from 1 to 300 the best on validation users of MovieLens 1M, see docs/cold-start.md."""
LARGEST_SHARE = 0.1
"""Of the first 20 places of all lists together, for items that nobody has touched; less where they are fewer."""
LOOKED_AT = 1000
"""Users whose lists are looked at for that."""


def check_content(dataset: DatasetDir, spec: ModelSpec) -> None:
    """Raise ConfigError where there is no content of items, no encoder for it, or a model that could not hold them."""
    fields = Fields.read(dataset.fields_path).items
    if not fields:
        raise ConfigError(
            f"Dataset {dataset.name!r} declares no content of its items. Ingest it with --items TABLE --item-field "
            "NAME:KIND, or leave --new-items out."
        )
    if any(field.kind == SENTENCE for field in fields):
        load_encoder()
    if not issubclass(catalog.entry(spec.name).model, Autoencoder):
        raise ConfigError(f"{spec.name} keeps no rows of items that content could predict. Leave --new-items out.")


def with_new_items(dataset: DatasetDir) -> IdMap:
    """All items that somebody has touched or the table of items names."""
    touched = dataset.interactions().select(ITEM)
    return IdMap.from_values(pl.concat([touched, dataset.table(dataset.items_path).select(ITEM)]).collect()[ITEM])


def place(
    model: Recommender,
    dataset: DatasetDir,
    learned_from: Interactions,
    l2: float = L2,
    *,
    seen_by: csr_array | None = None,
) -> float:
    """Place the items without users in a model that was trained over a catalogue with them, and let them be seen.

    Returns what was added to their bias for that, in nats.

    Args:
        seen_by: histories of those in whose lists new items are to fill their share; of the training users when None.
    """
    assert isinstance(model, Autoencoder)
    counts = learned_from.item_counts()
    if counts.all():
        return 0.0
    place_new_items(model, content_of(dataset, learned_from.items), counts, l2=l2)
    everybody = learned_from.binarised().matrix if seen_by is None else seen_by
    some = np.sort(np.random.default_rng(0).permutation(everybody.shape[0])[:LOOKED_AT])
    share, order = min(LARGEST_SHARE, float((counts == 0).mean())), None
    if isinstance(model, Sequential):
        everybody = learned_from.binarised().matrix
        users = learned_from.users.take(some)
        order = order_in(dataset, everybody[some], users, learned_from.items)
    return lift_new_items(model, everybody[some], counts, share=share, order=order)


def content_map(
    model: Recommender, dataset: DatasetDir, learned_from: Interactions, lift: float, l2: float = L2
) -> ContentMap | None:
    """What places items that come once the model is in service; None where content is read by a pretrained encoder.

    Args:
        lift: as `place` gave it.
    """
    if any(field.kind == SENTENCE for field in Fields.read(dataset.fields_path).items):
        return None
    assert isinstance(model, FactorizedRecommender)
    schema = item_schema(dataset, learned_from.items)
    content, counts = content_of(dataset, learned_from.items), learned_from.item_counts()
    return ContentMap.learn(model, schema, content, counts, l2=l2, lift=lift)
