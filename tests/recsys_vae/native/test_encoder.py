import numpy as np
import pytest
import torch
from scipy.sparse import csr_array, random_array
from torch import nn

from recsys_vae.native.encoder import Encoder, Layer, Norm
from recsys_vae.native.products import Packed

pytestmark = pytest.mark.usefixtures("compiled")

N_ITEMS, WIDTH, LATENT = 70, 37, 9


def histories(n: int) -> csr_array:
    """Rows of some length, the second of them empty."""
    found = csr_array(random_array((n, N_ITEMS), density=0.2, rng=np.random.default_rng(n), dtype=np.float64))
    found.data = np.abs(found.data).astype(np.float32) + 0.1
    if n > 1:
        found.data[found.indptr[1] : found.indptr[2]] = 0.0
        found.eliminate_zeros()
    return csr_array(found, dtype=np.float32)


def weights(*shape: int) -> np.ndarray:
    return np.random.default_rng(shape).standard_normal(shape).astype(np.float32) / 3


TABLE, BIAS = weights(N_ITEMS, WIDTH), weights(WIDTH)
GAIN, SHIFT = weights(1, WIDTH)[0] + 1, weights(2, WIDTH)[1]
HIDDEN, OUT = weights(WIDTH, WIDTH), weights(2 * LATENT, WIDTH)
OUT_BIAS = weights(2 * LATENT)


def encode(encoder: Encoder, rows: csr_array, ones: int = 0) -> np.ndarray:
    return encoder(rows.indices.astype(np.int64), rows.indptr.astype(np.int64), rows.data, ones)


def densely_connected(kept: int | None = None) -> Encoder:
    norm = Norm(GAIN, SHIFT, 0.1)
    return Encoder(
        [
            Layer(TABLE, BIAS, "silu", norm),
            Layer(Packed.of(HIDDEN), BIAS, "silu", norm, adds_before=True),
            Layer(Packed.of(HIDDEN), BIAS, "tanh", norm, adds_before=True),
            Layer(Packed.of(OUT), OUT_BIAS, kept=kept),
        ]
    )


def by_torch(rows: csr_array) -> np.ndarray:
    """The same layers in float64."""
    dense = torch.from_numpy(rows.toarray().astype(np.float64))
    inputs = dense / dense.norm(dim=1, keepdim=True).clamp(min=1e-30)

    def tensor(array: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(array.astype(np.float64))

    def norm(x: torch.Tensor) -> torch.Tensor:
        return nn.functional.layer_norm(x, (WIDTH,), tensor(GAIN), tensor(SHIFT), 0.1)

    first = norm(nn.functional.silu(inputs @ tensor(TABLE) + tensor(BIAS)))
    second = norm(nn.functional.silu(first @ tensor(HIDDEN).T + tensor(BIAS) + first))
    third = norm(torch.tanh(second @ tensor(HIDDEN).T + tensor(BIAS) + first + second))
    return (third @ tensor(OUT).T + tensor(OUT_BIAS)).numpy()


@pytest.mark.parametrize("n", [0, 1, 2, 6, 7, 64, 200])
def test_layers_are_those_of_torch(n: int) -> None:
    rows = histories(n)
    np.testing.assert_allclose(encode(densely_connected(), rows), by_torch(rows), rtol=1e-5, atol=1e-5)


def test_the_last_layer_may_keep_some_columns_and_ones_may_follow() -> None:
    rows = histories(5)
    found = encode(densely_connected(kept=LATENT), rows, ones=1)
    assert found.shape == (5, LATENT + 1)
    assert (found[:, :-1] == encode(densely_connected(), rows)[:, :LATENT]).all()
    assert (found[:, -1] == 1).all()


def test_a_layer_sees_the_columns_that_the_one_before_keeps() -> None:
    after = Layer(Packed.of(weights(4, LATENT)), weights(4), "tanh")
    layers = [Layer(TABLE, BIAS, "tanh"), Layer(Packed.of(OUT), OUT_BIAS, kept=LATENT)]
    rows = histories(9)
    halves = encode(Encoder(layers), rows)
    assert encode(Encoder([*layers, after]), rows) == pytest.approx(
        np.tanh(halves @ weights(4, LATENT).T + weights(4)), abs=1e-5
    )


def test_a_row_has_the_same_numbers_alone_and_in_any_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    encoder, rows = densely_connected(), histories(50)
    together = encode(encoder, rows)
    for n in (1, 2, 5, 17):
        assert (encode(encoder, csr_array(rows[:n])) == together[:n]).all()
    assert all((encode(encoder, csr_array(rows[i : i + 1])) == together[i]).all() for i in range(50))
    monkeypatch.setattr("recsys_vae.native.encoder.threads", lambda: 3)
    assert (encode(encoder, rows) == together).all()


def test_activations_at_their_ends() -> None:
    values = np.array([-200, -88, -20, -1, -1e-3, 0, 1e-6, 0.3, 5, 20, 88, 200], dtype=np.float32)
    table, one = np.ascontiguousarray(np.tile(values, (1, 1))), csr_array(np.ones((1, 1), np.float32))
    nothing = np.zeros(len(values), np.float32)
    exact = torch.from_numpy(values.astype(np.float64))
    for name, function in (("silu", nn.functional.silu), ("tanh", torch.tanh)):
        found = encode(Encoder([Layer(table, nothing, name)]), one)  # type: ignore[arg-type]
        np.testing.assert_allclose(found[0], function(exact).numpy(), rtol=1e-6, atol=1e-30)
