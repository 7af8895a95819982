"""What a model learns of items besides interactions, where its encoder takes any."""

from scipy.sparse import csr_array

from pipelines.dataset.directory import DatasetDir
from pipelines.dataset.fields import Fields
from pipelines.dataset.item_features import content_of
from pipelines.training.fit import ModelSpec
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
