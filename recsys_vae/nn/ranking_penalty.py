"""Ranking penalty: what a user dislikes is to score below what the user likes.

    penalty_u = sum over disliked i of d_ui log(1 + exp(l_ui - m_u)),   m_u: mean logit of what u likes

A multinomial likelihood has no place for evidence against an item: with negative counts it has no lower bound. This has
one, and costs as much as there are dislikes.

Source: the logistic loss of pairs of Rendle et al., BPR: Bayesian Personalized Ranking from Implicit Feedback, UAI
2009, section 4.1, with known dislikes in the place of sampled negatives.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from recsys_vae.nn.sparse_layers import SparseRows


def ranking_penalty(
    hidden: Tensor, output: nn.Linear, liked: SparseRows, disliked: SparseRows, *, sparse_gradient: bool = False
) -> Tensor:
    """Penalty of each row, shape (n,).

    Args:
        hidden: shape (n, output.in_features).
        liked: positives of the same rows; where there are none, their mean logit counts as 0.
        disliked: values are how much each counts.
        sparse_gradient: whether the gradient of the weight names only the rows that were looked at.
    """
    with torch.autocast(hidden.device.type, enabled=False):
        of_liked, of_disliked = (_logits(hidden, output, rows, sparse_gradient) for rows in (liked, disliked))
        mean = liked.row_sums(of_liked) / liked.lengths().clamp(min=1)
        return disliked.row_sums(disliked.values * functional.softplus(of_disliked - mean[disliked.row_numbers()]))


def _logits(hidden: Tensor, output: nn.Linear, rows: SparseRows, sparse: bool) -> Tensor:
    """Logit of each entry, shape (nnz,)."""
    vectors = functional.embedding(rows.indices, output.weight, sparse=sparse).float()
    return (hidden.float()[rows.row_numbers()] * vectors).sum(dim=1) + output.bias[rows.indices]
