"""Order: the places in time of a dataset's interactions, for models that go by them."""

from scipy.sparse import csr_array

from pipelines.dataset.directory import DatasetDir
from pipelines.dataset.matrices import encode_places
from recsys_vae.data.ids import IdMap
from recsys_vae.data.interactions import Interactions
from recsys_vae.errors import DataError
from recsys_vae.evaluation.splits import order_of


def read_order(dataset: DatasetDir) -> Interactions:
    """Places of all pairs.

    Raises:
        DataError: the dataset has no order.
    """
    places = encode_places(dataset.events())
    if places is None:
        raise DataError(
            f"Dataset {dataset.name!r} has no order: this model needs a timestamp or a position in its rows. Map the "
            "column of the log that holds it (--map timestamp=COLUMN) and ingest again, or choose another model."
        )
    return places


def order_in(dataset: DatasetDir, matrix: csr_array, users: IdMap, items: IdMap) -> csr_array:
    """Places of interactions of a dataset, in the pattern of the matrix.

    Args:
        matrix: shape (len(users), len(items)), entries that the dataset has.

    Raises:
        DataError: the dataset has no order.
    """
    return order_of(matrix, users, items, read_order(dataset))
