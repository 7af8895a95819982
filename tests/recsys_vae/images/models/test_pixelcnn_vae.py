import torch

from recsys_vae.images.models.pixelcnn_vae import PixelCNNVAE, PixelCNNVAEConfig

SHAPE = (1, 5, 5)


def model(**settings: int | str) -> PixelCNNVAE:
    torch.manual_seed(0)
    found = PixelCNNVAE(SHAPE, PixelCNNVAEConfig(latent=2, hidden=8, width=4, **settings))  # type: ignore[arg-type]
    torch.nn.init.normal_(found.to_map[-1].weight)
    return found


def seen_by(found: PixelCNNVAE, row: int, column: int) -> set[tuple[int, int]]:
    """Pixels on which the outputs at a place depend."""
    x = torch.zeros(1, *SHAPE, requires_grad=True)
    gradient = torch.autograd.grad(found.outputs(x, torch.zeros(1, 2))[0, 0, row, column], x)[0][0, 0]
    return {(int(i), int(j)) for i, j in gradient.nonzero()}


def test_a_limited_decoder_sees_the_neighbours_alone() -> None:
    limited = seen_by(model(decoder_layers=1, kernel=1), 2, 2)
    assert limited == {(1, 2), (2, 1)}
    wide = seen_by(model(decoder_layers=4), 2, 2)
    assert limited < wide
    assert max(wide) < (2, 2)


def test_an_untrained_decoder_passes_over_the_code() -> None:
    found, x = PixelCNNVAE(SHAPE, PixelCNNVAEConfig(latent=2, hidden=8, width=4)), torch.ones(1, *SHAPE)
    assert torch.equal(found.outputs(x, torch.zeros(1, 2)), found.outputs(x, torch.ones(1, 2)))


def test_the_code_reaches_every_pixel() -> None:
    z = torch.zeros(1, 2, requires_grad=True)
    outputs = model(decoder_layers=1, kernel=1).outputs(torch.zeros(1, *SHAPE), z)
    gradients = [torch.autograd.grad(output, z, retain_graph=True)[0].abs().sum() for output in outputs.flatten()]
    assert min(gradients) > 0


def test_decoding_feeds_back_the_likeliest_pixels() -> None:
    found, z = model(decoder_layers=2), torch.randn(3, 2, generator=torch.Generator().manual_seed(1))
    outputs = found.decode(z)
    torch.testing.assert_close(outputs, found.outputs((outputs > 0).float(), z))


def test_samples_are_drawn_pixels_of_the_generator() -> None:
    found = model(decoder_layers=2)
    one, other = (found.sample(3, generator=torch.Generator().manual_seed(1)) for _ in range(2))
    assert torch.equal(one, other)
    assert set(one.unique().tolist()) == {0.0, 1.0}
    grey = model(decoder_layers=2, likelihood="gaussian").sample(3)
    assert len(grey.unique()) > 2
    assert 0.0 <= float(grey.min()) <= float(grey.max()) <= 1.0
