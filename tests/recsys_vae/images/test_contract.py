"""What every image model of the catalogue promises."""

from dataclasses import fields, replace

import pytest
import torch
from torch import Tensor

from recsys_vae.errors import ConfigError, DataError, ModelError, UnknownNameError
from recsys_vae.images.layers.likelihood import pixel_means
from recsys_vae.images.models import catalog
from recsys_vae.images.protocol import ImageModel, ImageModule
from tests.recsys_vae.images.small import SHAPE, SMALL, WITHOUT_SAMPLES, images, labels, untrained


@pytest.fixture(params=list(catalog.CATALOG))
def model(request: pytest.FixtureRequest) -> ImageModule:
    return untrained(request.param)


@pytest.fixture
def same_noise_everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every random number is .3, so that what is left of a loss is deterministic."""
    for draw in ("normal_", "uniform_", "exponential_"):
        monkeypatch.setattr(Tensor, draw, lambda tensor, *_, **__: tensor.fill_(0.3))
    for draw in ("rand_like", "randn_like"):
        monkeypatch.setattr(torch, draw, lambda tensor, **_: torch.full_like(tensor, 0.3))
    for draw in ("rand", "randn"):
        monkeypatch.setattr(torch, draw, lambda *shape, **_: torch.full(shape, 0.3))


def test_every_model_is_tested() -> None:
    assert set(SMALL) == set(catalog.CATALOG)


def test_every_model_answers_to_the_protocol(model: ImageModule) -> None:
    assert isinstance(model, ImageModel)
    assert model.shape == SHAPE


def test_a_reconstruction_has_the_shape_of_the_images(model: ImageModule) -> None:
    x, y = images(), labels(model)
    outputs = model(x, y)
    assert outputs.shape == x.shape
    assert torch.isfinite(outputs).all()
    with torch.no_grad():
        means = pixel_means(model.config.likelihood, outputs)
    assert 0 <= float(means.min()) <= float(means.max()) <= 1


def test_decoding_the_code_is_the_reconstruction(model: ImageModule) -> None:
    x, y = images(), labels(model)
    model.eval()
    torch.testing.assert_close(model.decode(model.encode(x, y), y), model(x, y))


def test_encoding_is_deterministic_and_row_by_row(model: ImageModule) -> None:
    x, y = images(), labels(model)
    model.eval()
    whole = model.encode(x, y)
    alone = model.encode(x[2:3], None if y is None else y[2:3])
    torch.testing.assert_close(whole[2:3], alone)


def test_the_loss_is_finite_and_its_gradient_reaches_every_parameter(model: ImageModule) -> None:
    loss = model.loss(images(), labels(model))
    assert torch.isfinite(torch.stack([loss.total, loss.reconstruction, loss.regularizer])).all()
    loss.total.backward()
    untouched = [name for name, value in model.named_parameters() if value.requires_grad and value.grad is None]
    assert untouched == []


@pytest.mark.usefixtures("same_noise_everywhere")
def test_repeating_the_batch_leaves_the_loss_unchanged(model: ImageModule) -> None:
    x, y = images(), labels(model)
    model.eval()
    once = model.loss(x, y)
    twice = model.loss(torch.cat([x, x]), None if y is None else torch.cat([y, y]))
    for part in ("total", "reconstruction", "regularizer"):
        torch.testing.assert_close(getattr(twice, part), getattr(once, part))


@pytest.mark.parametrize("name", [name for name in catalog.CATALOG if name not in WITHOUT_SAMPLES])
def test_samples_are_pixel_means_and_the_generator_decides_them(name: str) -> None:
    model = untrained(name).eval()
    first, same, other = (model.sample(3, labels(model, 3), torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
    assert first.shape == (3, *SHAPE)
    assert 0 <= float(first.min()) <= float(first.max()) <= 1
    assert torch.equal(first, same)
    assert not torch.equal(first, other)


@pytest.mark.parametrize("name", sorted(WITHOUT_SAMPLES))
def test_models_that_cannot_draw_codes_say_so(name: str) -> None:
    model = untrained(name)
    with pytest.raises(ModelError):
        model.sample(3, labels(model, 3))


def test_images_of_another_shape_are_refused(model: ImageModule) -> None:
    with pytest.raises(DataError, match="8, 8"):
        model.encode(torch.zeros(2, 1, 8, 9), labels(model, 2))
    with pytest.raises(DataError, match="8, 8"):
        model.loss(torch.zeros(2, 8, 8), labels(model, 2))


@pytest.mark.parametrize("name", list(catalog.CATALOG))
def test_shapes_that_are_none_are_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="channels, height, width"):
        catalog.create(name, (0, 8, 8), SMALL[name])


@pytest.mark.parametrize("name", list(catalog.CATALOG))
def test_no_number_among_the_settings_is_below_0(name: str) -> None:
    numbers = [field.name for field in fields(SMALL[name]) if type(getattr(SMALL[name], field.name)) in (int, float)]
    assert numbers
    for number in numbers:
        with pytest.raises(ConfigError, match="-1"):
            catalog.create(name, SHAPE, replace(SMALL[name], **{number: -1}))


def test_settings_describe_the_model(model: ImageModule) -> None:
    name = catalog.name_of(model)
    settings = {key: str(value) for key, value in catalog.settings_of(model).items()}
    assert catalog.configure(name, settings) == model.config


def test_weights_carry_the_model_over(model: ImageModule) -> None:
    other = untrained(catalog.name_of(model), seed=1)
    other.load_state_dict(model.state_dict())
    x, y = images(), labels(model)
    assert torch.equal(other.eval()(x, y), model.eval()(x, y))


def test_unknown_models_are_refused() -> None:
    with pytest.raises(UnknownNameError, match="ae"):
        catalog.create("aee", SHAPE)
