"""The multinomial likelihood over the whole catalogue, computed in chunks of items that fit the processor's cache.

    nll_u = -sum_i x_ui log softmax(h_u W^T + b)_i = N_u logsumexp_j(h_u w_j + b_j) - sum_i x_ui (h_u w_i + b_i)
    d nll_u / d logit_uj = N_u softmax_uj - x_uj

Source: Liang, Krishnan, Hoffman & Jebara, Variational Autoencoders for Collaborative Filtering, WWW 2018, eq. 2.

A dense implementation passes over the (users, items) logits a dozen times in main memory, which on a CPU takes as
long as the matrix products. Here a chunk of logits is made, exponentiated and summed while it lies in the cache; one
array of probabilities, in the precision of the products, is all that is kept for the backward pass, or nothing
(`chunked_nll`). Where it suits the processor the same is done by compiled code (recsys_vae/native), with logits in
float32 whatever the products are.
"""

from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from recsys_vae.native import multinomial
from recsys_vae.native.multinomial import Multinomial
from recsys_vae.nn.sparse_layers import SparseRows

CHUNK_BYTES = {"cpu": 4 << 20, "cuda": 256 << 20}
"""Size of a chunk of logits by device type: a share of the cache on a CPU, enough to fill the units on a GPU."""


def exact_nll(hidden: Tensor, output: nn.Linear, targets: SparseRows) -> Tensor:
    """Negative multinomial log-likelihood of each row in nats, shape (n,), without its constant.

    Keeps n * n_items probabilities for the backward pass.

    Args:
        hidden: input of the output layer, shape (n, d).
        output: d to n_items.
        targets: n rows, the counts x.
    """
    return _nll(hidden, output, targets, recompute=False)


def chunked_nll(hidden: Tensor, output: nn.Linear, targets: SparseRows) -> Tensor:
    """The same as `exact_nll`; never holds more than a chunk of logits, and computes each of them twice.

    A third more work, for catalogues where n * n_items numbers do not fit.
    """
    return _nll(hidden, output, targets, recompute=True)


def product_dtype(hidden: Tensor) -> torch.dtype:
    """Type that matrix products are computed in: autocast's where it is on, else the input's."""
    kind = hidden.device.type
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else hidden.dtype


def _nll(hidden: Tensor, output: nn.Linear, targets: SparseRows, *, recompute: bool) -> Tensor:
    columns, order = targets.indices.sort(stable=True)
    entries = (targets.row_numbers()[order], columns, targets.values[order])
    dtype = product_dtype(hidden)
    with torch.autocast(hidden.device.type, enabled=False):
        if multinomial.suits(hidden, dtype):
            return _CompiledNLL.apply(hidden.float(), output.weight, output.bias, *entries, recompute)  # type: ignore
        return _SoftmaxNLL.apply(hidden.to(dtype), output.weight, output.bias, *entries, recompute)  # type: ignore


class _SoftmaxNLL(torch.autograd.Function):
    """Linear layer and likelihood as one operation, both passes written out.

    The softmax of a row needs the sum over the whole row, which is known after the last chunk only. So each chunk is
    normalised by its own sum, and the factor between the two is made up for in the backward pass.
    """

    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        weight: Tensor,
        bias: Tensor,
        rows: Tensor,
        columns: Tensor,
        values: Tensor,
        recompute: bool,
    ) -> Tensor:
        chunks = _chunks(len(weight), hidden)
        borders = _borders(columns, chunks)
        target_logits = torch.empty_like(values)
        normalisers, kept = [], []
        for (start, end), (first, last) in zip(chunks, borders, strict=True):
            logits = _logits(hidden, weight[start:end], bias[start:end])
            target_logits[first:last] = logits[rows[first:last], columns[first:last] - start].float()
            probabilities, normaliser = _softmax(logits)
            normalisers.append(normaliser)
            kept.append(None if recompute else probabilities)
        normaliser = torch.logsumexp(torch.stack(normalisers), dim=0)
        ctx.save_for_backward(hidden, weight, bias, rows, columns, values, normaliser)
        ctx.chunks, ctx.borders, ctx.kept, ctx.normalisers = chunks, borders, kept, normalisers
        return _likelihood(normaliser, target_logits, rows, values)

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        hidden, weight, bias, rows, columns, values, normaliser = ctx.saved_tensors
        counts = _counts(normaliser, rows, values)
        pulls = (-values * upstream[rows]).to(hidden.dtype)
        hidden_gradient = torch.zeros(hidden.shape, device=hidden.device)
        learns = ctx.needs_input_grad[1]
        weight_gradient, bias_gradient = (torch.empty_like(p) if learns else None for p in (weight, bias))
        for number, ((start, end), (first, last)) in enumerate(zip(ctx.chunks, ctx.borders, strict=True)):
            part = weight[start:end].to(hidden.dtype)
            gradient = ctx.kept[number]
            if gradient is None:
                gradient = _softmax(_logits(hidden, part, bias[start:end]))[0]
            ctx.kept[number] = None
            scale = counts * upstream * torch.exp(ctx.normalisers[number] - normaliser)
            gradient.mul_(scale.to(hidden.dtype).unsqueeze(1))
            of_targets = (rows[first:last], columns[first:last] - start)
            gradient.index_put_(of_targets, pulls[first:last], accumulate=True)
            hidden_gradient += gradient @ part
            if weight_gradient is not None and bias_gradient is not None:
                weight_gradient[start:end] = gradient.T @ hidden
                bias_gradient[start:end] = gradient.sum(dim=0, dtype=torch.float32)
        return hidden_gradient.to(hidden.dtype), weight_gradient, bias_gradient, None, None, None, None


class _CompiledNLL(torch.autograd.Function):
    """The same, compiled."""

    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        weight: Tensor,
        bias: Tensor,
        rows: Tensor,
        columns: Tensor,
        values: Tensor,
        recompute: bool,
    ) -> Tensor:
        ctx.layer = Multinomial(hidden.detach().contiguous(), weight.detach(), bias.detach(), rows, columns)
        target_logits, normaliser, *ctx.kept = ctx.layer.forward(keep=not recompute)
        # The weights are saved for their versions alone: autograd then refuses a backward pass after they were changed.
        ctx.save_for_backward(weight, bias, rows, values, normaliser)
        return _likelihood(normaliser, target_logits, rows, values)

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        _, _, rows, values, normaliser = ctx.saved_tensors
        scale, pulls = upstream * _counts(normaliser, rows, values), upstream[rows] * values
        gradients = ctx.layer.backward(scale, pulls, normaliser, *ctx.kept, learns=ctx.needs_input_grad[1])
        return *gradients, None, None, None, None


def _counts(normaliser: Tensor, rows: Tensor, values: Tensor) -> Tensor:
    """N_u: sum of each row's values, shape as the normaliser."""
    return torch.zeros_like(normaliser).index_add_(0, rows, values)


def _likelihood(normaliser: Tensor, target_logits: Tensor, rows: Tensor, values: Tensor) -> Tensor:
    """The formula's first line, given the normaliser of each row and the logit of each entry."""
    return (_counts(normaliser, rows, values) * normaliser).index_add_(0, rows, values * target_logits, alpha=-1)


def _logits(hidden: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return torch.addmm(bias.to(hidden.dtype), hidden, weight.to(hidden.dtype).T)


def _softmax(logits: Tensor) -> tuple[Tensor, Tensor]:
    """Softmax over the chunk, in the type of the logits, and its normaliser logsumexp(logits), shape (n,) float32."""
    # A bfloat16 log-probability of -8 is off by up to 0.03: products may be computed in it, the likelihood may not.
    log_probabilities = torch.log_softmax(logits, dim=1, dtype=torch.float32)
    normaliser = logits[:, 0].float() - log_probabilities[:, 0]
    return log_probabilities.exp_().to(logits.dtype), normaliser


def _chunks(n_items: int, hidden: Tensor) -> list[tuple[int, int]]:
    """Ranges of items whose logits fill a chunk."""
    budget = CHUNK_BYTES.get(hidden.device.type, CHUNK_BYTES["cuda"])
    width = max(budget // (max(len(hidden), 1) * hidden.element_size()), 64)
    return [(start, min(start + width, n_items)) for start in range(0, n_items, width)]


def _borders(columns: Tensor, chunks: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Ranges of the entries, sorted by column, that fall into each chunk."""
    ends = torch.tensor([end for _, end in chunks], device=columns.device)
    found = [0, *torch.searchsorted(columns, ends).tolist()]
    return list(pairwise(found))
