import pytest
import torch
from torch import nn

from recsys_vae.nn.sparse_layers import SparseLinear, SparseRows, linear
from tests.worlds import csr

ROWS = SparseRows.from_csr(csr([[0, 2], [], [1, 3, 4]], 5))
DENSE = torch.tensor([[1, 0, 1, 0, 0], [0, 0, 0, 0, 0], [0, 1, 0, 1, 1.0]])


def test_the_sparse_layer_equals_a_dense_one() -> None:
    layer = SparseLinear(5, 4)
    torch.testing.assert_close(layer(ROWS), DENSE @ layer.weight + layer.bias)


def test_a_sparse_gradient_names_the_rows_used_and_equals_the_dense_one() -> None:
    layer, upstream = SparseLinear(5, 4), torch.randn(3, 4)
    rows = SparseRows.from_csr(csr([[0, 2], [], [2, 4]], 5)).l2_normalised()
    (layer(rows) * upstream).sum().backward()
    dense, layer.weight.grad = layer.weight.grad, None
    layer.sparse_gradient = True
    (layer(rows) * upstream).sum().backward()
    assert layer.weight.grad is not None
    assert layer.weight.grad._indices().tolist() == [[0, 2, 4]]
    torch.testing.assert_close(layer.weight.grad.to_dense(), dense)


def test_rows_are_normalised_before_they_are_dropped() -> None:
    """Kept entries are 1 / sqrt(length) / (1 - rate): the norm is that of the whole history."""
    rows = SparseRows.from_csr(csr([list(range(100))], 100))
    kept = rows.l2_normalised().dropped(0.5, torch.Generator().manual_seed(0))
    assert sorted(set(kept.values.tolist())) == pytest.approx([0.2])
    assert 30 < len(kept.indices) < 70


def test_a_row_keeps_what_is_not_dropped_of_its_own() -> None:
    rows = SparseRows.from_csr(csr([[0, 1], [], [*range(2, 60)], [60]], 61))
    kept = rows.dropped(0.5, torch.Generator().manual_seed(1))
    assert 0 < len(kept.indices) == kept.offsets[-1] < 61
    for number, history in enumerate([{0, 1}, set(), {*range(2, 60)}, {60}]):
        assert set(kept.indices[kept.row_numbers() == number].tolist()) <= history


def test_transposed_rows_name_each_item_once() -> None:
    items, holders = SparseRows.from_csr(csr([[0, 2], [], [2, 4]], 5)).l2_normalised().transposed()
    assert items.tolist() == [0, 2, 4]
    assert holders.offsets.tolist() == [0, 1, 3, 4]
    assert holders.indices.tolist() == [0, 0, 2, 2]


def test_an_empty_row_stays_empty() -> None:
    assert torch.isfinite(ROWS.l2_normalised().values).all()


def test_a_packed_layer_follows_its_weights_again_once_it_learns_or_takes_over_others() -> None:
    layer, rows = linear(20, 30), torch.randn(5, 20)
    for change in ("learn", "load"):
        layer.pack()
        with torch.no_grad():
            before = layer(rows)
            torch.testing.assert_close(before, nn.functional.linear(rows, layer.weight, layer.bias))
        if change == "learn":
            layer(rows).sum().backward()
            layer.weight.data.add_(1.0)  # no version counts this
        else:
            layer.load_state_dict({"weight": torch.ones(30, 20), "bias": torch.zeros(30)})
        with torch.no_grad():
            after = layer(rows)
        assert (after - before).abs().max() > 0.1
        torch.testing.assert_close(after, nn.functional.linear(rows, layer.weight, layer.bias).detach())
