"""Inner products of queries and item vectors: the one product behind scores, retrieval and evaluation."""

import torch
from torch import Tensor
from torch.nn import functional


def inner_products(queries: Tensor, vectors: Tensor, bias: Tensor | None = None) -> Tensor:
    """queries @ vectors.T + bias in float32, shape (n, n_items).

    On a CPU it asks oneDNN rather than the default library, which on processors of another maker than its own takes
    twice as long for this shape (few queries, many items). Results agree to rounding.

    Args:
        queries: shape (n, d) float32.
        vectors: shape (n_items, d) float32.
        bias: shape (n_items,).
    """
    if queries.device.type == "cpu" and len(queries) and torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        product: Tensor = torch.ops.mkldnn._linear_pointwise(queries, vectors, bias, "none", [], "")
        return product
    return functional.linear(queries, vectors, bias)
