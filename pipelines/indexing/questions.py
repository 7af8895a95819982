"""What users of a dataset would ask a bundle's index: their query vectors, and what they have already."""

from dataclasses import dataclass
from hashlib import sha256

import numpy as np
from scipy.sparse import csr_array, vstack

from pipelines.dataset.directory import DatasetDir
from pipelines.recommend import encoded
from recsys_vae.bundles.bundle import Bundle
from recsys_vae.errors import DataError
from recsys_vae.protocols import Float32Array


@dataclass(frozen=True, eq=False)
class Questions:
    """Of some users.

    Attributes:
        queries: shape (n, d).
        seen: shape (n, n_items), what each has and is not to be shown.
    """

    queries: Float32Array
    seen: csr_array

    def fingerprint(self) -> str:
        """The same for the same questions."""
        told = sha256(self.queries.tobytes())
        told.update(self.seen.indices.tobytes())
        return told.hexdigest()[:12]


def questions_of(bundle: Bundle, dataset: DatasetDir, users: int) -> Questions:
    """Those of the first users of a dataset, by id.

    Args:
        users: at most so many.

    Raises:
        DataError: the model has no item vectors, or nobody has a history in the bundle's catalogue.
    """
    queries, seen, count = [], [], 0
    for part, vectors in encoded(bundle, dataset, chunk=min(users, 4096)):
        known = np.flatnonzero(np.diff(part.histories.indptr))[: users - count]
        queries.append(vectors[known])
        seen.append(csr_array(part.histories[known]))
        count += len(known)
        if count == users:
            break
    if not count:
        raise DataError(
            f"No user of {dataset.name!r} has an item of the bundle's catalogue: give the dataset it was trained on."
        )
    return Questions(np.ascontiguousarray(np.concatenate(queries), dtype=np.float32), csr_array(vstack(seen, "csr")))
