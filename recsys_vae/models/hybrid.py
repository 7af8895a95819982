"""Hybrid encoders: what is known of a user, and of the items in the history, as inputs beside the history itself.

    h = b + sum_i x_i (e_i + sum_f c_if g_f) + sum_f m_f u_f

The first layer of an encoder: x is the normalised history, c_i the content of item i, m the metadata of the user; e, g
and u are embeddings of items, of their features and of users' features. u and g begin at 0, so that training sets out
from the plain model. Fields of the user go missing in training as they do in service.

What an item's content adds is the same in every history. So when training ends it is added to the item's own row: the
served encoder reads metadata of users with the request, and needs none of items.

Source: embeddings of features that add up to the item's: Kula, Metadata Embeddings for User and Item Cold-start
Recommendations, CBRecSys 2015.
"""

from dataclasses import replace

import torch
from scipy.sparse import csr_array
from torch import Tensor, nn

from recsys_vae.data.features import check_metadata
from recsys_vae.nn.sparse_layers import SparseLinear, SparseRows, weighted_sums


class HybridLinear(SparseLinear):
    """The first layer of an encoder; without features it is a `SparseLinear`.

    Args:
        n_features: columns of the users' metadata; 0 for an encoder that takes none.
    """

    def __init__(self, n_items: int, width: int, n_features: int = 0) -> None:
        super().__init__(n_items, width)
        self.of_user = Features(n_features, width) if n_features else None
        self.of_items: Features | None = None
        self._content: SparseRows | None = None

    def forward(self, rows: SparseRows) -> Tensor:
        """Shape (n, width)."""
        hidden = super().forward(rows)
        if self.of_user is not None and rows.metadata is not None:
            hidden = hidden + self.of_user(rows.metadata)
        if self.of_items is not None and self._content is not None:
            hidden = hidden + self.of_items(rows.through(self._content))
        return hidden

    def take_content(self, content: SparseRows, n_features: int) -> None:
        """Take metadata of the items as inputs from now on; `content` has a row an item, of n_features columns."""
        self._content = content
        self.of_items = Features(n_features, self.weight.shape[1]).to(self.weight)

    def fold_content(self) -> None:
        """Add what the items' metadata say to the items' own rows, and take them as inputs no longer."""
        if self.of_items is not None and self._content is not None:
            with torch.no_grad():
                self.weight.add_(self.of_items(self._content))
        self.of_items = self._content = None


class Features(nn.Module):
    """Embeddings of features, added up over sparse rows of them; they begin at 0."""

    def __init__(self, n_features: int, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(n_features, width))

    def forward(self, rows: SparseRows) -> Tensor:
        """Shape (n, width)."""
        return weighted_sums(self.weight, rows)


def take_content(model: nn.Module, content: csr_array, n_items: int, device: torch.device) -> None:
    """Let every encoder of a model take metadata of the items, shape (n_items, n_features), until `fold_content`.

    Raises:
        DataError: they are of another catalogue.
    """
    check_metadata(content, n_items, content.shape[1])
    rows = SparseRows.from_csr(content, device)
    for layer in _layers(model):
        layer.take_content(rows, content.shape[1])


def fold_content(model: nn.Module) -> None:
    """Fold what the items' metadata say into the rows of the items, in every encoder of a model, in place."""
    for layer in _layers(model):
        layer.fold_content()


def with_gaps(rows: SparseRows, widths: tuple[int, ...], rate: float, generator: torch.Generator | None) -> SparseRows:
    """The same users, some fields of whose metadata are missing: each by itself, and all together at the same rate.

    Args:
        widths: columns of each field; none for users of whom nothing is taken.
        rate: how often a field, and all of them together, go missing.
    """
    known = rows.metadata
    if known is None or not widths:
        return replace(rows, metadata=None)
    sizes = torch.tensor(widths, device=known.values.device)
    field_of = torch.repeat_interleave(torch.arange(len(sizes), device=sizes.device), sizes)
    drawn = torch.rand((len(known), len(sizes) + 1), generator=generator, device=sizes.device)
    stays, users = drawn >= rate, known.row_numbers()
    return replace(rows, metadata=known.only(stays[users, field_of[known.indices]] & stays[users, -1]))


def _layers(model: nn.Module) -> list[HybridLinear]:
    return [layer for layer in model.modules() if isinstance(layer, HybridLinear)]
