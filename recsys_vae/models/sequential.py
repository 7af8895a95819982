"""Sequential: what the models have in common that go by the order of a history."""

import torch
from scipy.sparse import csr_array

from recsys_vae.data.histories import check_histories
from recsys_vae.data.sequences import chronological
from recsys_vae.models.autoencoder import Autoencoder
from recsys_vae.nn.inner_products import inner_products
from recsys_vae.nn.sparse_layers import SparseRows
from recsys_vae.protocols import Float32Array


class Sequential(Autoencoder):
    """An autoencoder whose rows are sequences, least recent first: `hidden` and `loss` are given them so.

    Its query says what comes next after the latest items; scores and item vectors are as of any autoencoder.
    """

    is_sequential = True

    @torch.inference_mode()
    def encode(
        self, histories: csr_array, metadata: csr_array | None = None, *, order: csr_array | None = None
    ) -> Float32Array:
        """Queries of histories, shape (n, width + 1); the last column is 1.

        Args:
            order: see `protocols.SequentialRecommender`.

        Raises:
            DataError: there are histories, and no order.
        """
        return self._with_ones(self.hidden(self._sequences(histories, order)))

    @torch.inference_mode()
    def score(
        self, histories: csr_array, metadata: csr_array | None = None, *, order: csr_array | None = None
    ) -> Float32Array:
        """Scores of all items, shape (n, n_items): unnormalised log-probabilities of coming next.

        Raises:
            DataError: there are histories, and no order.
        """
        hidden = self.hidden(self._sequences(histories, order))
        array: Float32Array = inner_products(hidden, self.output.weight, self.output.bias).cpu().numpy()
        return array

    def _sequences(self, histories: csr_array, order: csr_array | None) -> SparseRows:
        check_histories(histories, self.n_items)
        return SparseRows.from_csr(chronological(histories, order), self.device).binarised()
