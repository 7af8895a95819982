import pytest
import torch

from recsys_vae.nn.inner_products import inner_products


@pytest.mark.parametrize("n", [0, 1, 3])
@pytest.mark.parametrize("with_bias", [False, True])
def test_equals_the_plain_product(n: int, with_bias: bool) -> None:
    queries, vectors = torch.randint(-9, 9, (n, 5)).float(), torch.randint(-9, 9, (7, 5)).float()
    bias = torch.randint(-9, 9, (7,)).float() if with_bias else None
    expected = queries @ vectors.T + (0 if bias is None else bias)
    assert torch.equal(inner_products(queries, vectors, bias), expected)
