import pytest
import torch

from recsys_vae.errors import ConfigError
from recsys_vae.images.layers.blocks import ConvDecoder, ConvEncoder, dense_decoder, dense_encoder, widths


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 9, 14), (1, 5, 5)])
def test_convolutions_come_back_to_the_shape_they_started_from(shape: tuple[int, int, int]) -> None:
    z = ConvEncoder(shape, 4, 2, 6, residual_blocks=1)(torch.zeros(2, *shape))
    assert z.shape == (2, 6)
    assert ConvDecoder(shape, 4, 2, 6, residual_blocks=1)(z).shape == (2, *shape)


def test_more_halvings_than_the_image_has_room_for_are_refused() -> None:
    with pytest.raises(ConfigError, match="halved 4 times"):
        ConvEncoder((1, 8, 8), 4, 4, 6)


def test_dense_layers_have_the_widths_that_are_asked_for() -> None:
    encoder, decoder = dense_encoder((1, 28, 28), [128, 64], 32), dense_decoder((1, 28, 28), [128, 64], 32)
    assert [p.shape[0] for p in encoder.parameters() if p.ndim == 2] == [128, 64, 32]
    assert [p.shape[0] for p in decoder.parameters() if p.ndim == 2] == [64, 128, 784]


@pytest.mark.parametrize("text", ["12-", "a", "0-3", "1.5"])
def test_widths_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="128-64"):
        widths(text)
