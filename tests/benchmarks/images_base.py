"""Autoencoders without a distribution over codes on MNIST; `make bench-images` runs these among others.

    python -m tests.benchmarks.images_base [NAME ...] [--seed N] [--fresh]

Models and PCA learn from the first 50,000 images of the train part, grayscale; epochs and settings are chosen on its
last 10,000. The test part is read once a reported model. One thread a run. Errors are means over test images with their
standard errors; an image's error is the mean of its squared errors over pixels in [0, 1].
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
import torch
from scipy.ndimage import median_filter
from sklearn.decomposition import PCA
from torch import Tensor

from recsys_vae.home import home
from recsys_vae.images.analysis.fidelity import psnr, squared_error
from recsys_vae.images.analysis.reconstruction import reconstruct
from recsys_vae.images.data.image_set import ImageSet
from recsys_vae.images.data.pixels import GRAYSCALE
from recsys_vae.images.layers.corruption import corrupt
from recsys_vae.images.models import catalog
from recsys_vae.images.protocol import ImageModule
from recsys_vae.images.training.config import ImageTrainingConfig
from recsys_vae.images.training.loop import ImageTrainingResult, train_images
from tests.benchmarks.images_data import mean_and_error, measure_named, mnist, timed

WIDTH = 32
"""Of every code: of the models and of PCA."""
DENSE = {"hidden": "128-64", "latent": WIDTH, "likelihood": "bernoulli"}
CONVOLUTIONAL = {"channels": 16, "latent": WIDTH, "likelihood": "bernoulli"}
DENOISING = {"channels": 16, "latent": 128, "likelihood": "bernoulli"}
SPARSE = {"latent": 256, "likelihood": "bernoulli"}
LEVELS = {"gaussian": 0.5, "masking": 0.5, "salt-and-pepper": 0.3}
"""Noise as it is taken away: deviation, or the share of the pixels that is hit."""
SPARSITIES = {"l1": {"weight": 0.3}, "kl": {"weight": 1.0}, "top-k": {"k": 25}}
MEDIANS = (3, 5)
"""Sides of the median filters, of which the better one on validation is taken."""
NOISE_SEED = {"validation": 1, "test": 2}


def measure_dense(seed: int) -> dict[str, Any]:
    """Error of 784-128-64-32-64-128-784 and of PCA with as many components."""
    train, validation, test = mnist()
    model, result = trained("ae", DENSE, dense_training(seed), seed)
    pca = PCA(WIDTH, random_state=seed).fit(train.floats().flatten(1).numpy())
    by_pca = _by_pca(pca, test.floats())
    return {
        "settings": DENSE,
        "epochs": result.epoch,
        "validation_mse": float(_error(model, validation).mean()),
        "validation_pca_mse": float(squared_error(_by_pca(pca, validation.floats()), validation.floats()).mean()),
        **mean_and_error(_error(model, test), "ae_mse"),
        **mean_and_error(squared_error(by_pca, test.floats()), "pca_mse"),
    }


def measure_convolutional(seed: int) -> dict[str, Any]:
    """Error of convolutions at the same width of the code."""
    _, validation, test = mnist()
    model, result = trained("conv-ae", CONVOLUTIONAL, conv_training(seed), seed)
    return {
        "settings": CONVOLUTIONAL,
        "epochs": result.epoch,
        "validation_mse": float(_error(model, validation).mean()),
        **mean_and_error(_error(model, test), "conv_ae_mse"),
    }


def measure_denoising(noise: str, seed: int) -> dict[str, Any]:
    """Peak signal-to-noise ratio of noisy images, of what a median filter and of what a model makes of them."""
    _, validation, test = mnist()
    settings = DENOISING | {"noise": noise, "level": LEVELS[noise]}
    model, result = trained("denoising-ae", settings, denoising_training(seed), seed)
    seen = {part: _noisy(images, noise, part) for part, images in (("validation", validation), ("test", test))}
    on_validation = {
        side: float(psnr(_median(seen["validation"], side), validation.floats()).mean()) for side in MEDIANS
    }
    side = max(on_validation, key=on_validation.__getitem__)
    clean = test.floats()
    ratios = {
        "noisy": psnr(seen["test"], clean),
        "median": psnr(_median(seen["test"], side), clean),
        "model": psnr(reconstruct(model, seen["test"]), clean),
    }
    figures: dict[str, Any] = {"settings": settings, "epochs": result.epoch, "median_side": side}
    for name, values in ratios.items():
        figures |= mean_and_error(values, f"{name}_psnr")
    figures |= mean_and_error(ratios["model"] - ratios["noisy"], "gain_over_noisy_db")
    return figures | mean_and_error(ratios["model"] - ratios["median"], "gain_over_median_db")


def measure_sparse(seed: int) -> dict[str, Any]:
    """Error and use of a code wider than those above, by the kind of sparsity."""
    _, _, test = mnist()
    figures: dict[str, Any] = {}
    for sparsity, more in SPARSITIES.items():
        settings = SPARSE | {"sparsity": sparsity} | more
        model, result = trained("sparse-ae", settings, sparse_training(seed), seed)
        with torch.no_grad():
            figures |= {f"{sparsity}_{name}": value for name, value in model.watch(test.floats()).items()}
        figures |= {f"{sparsity}_epochs": result.epoch, **mean_and_error(_error(model, test), f"{sparsity}_mse")}
    return figures


def dense_training(seed: int) -> ImageTrainingConfig:
    """Of the dense autoencoder."""
    return _training(seed, epochs=30, learning_rate=3e-3, learning_rate_decay=0.8)


def conv_training(seed: int) -> ImageTrainingConfig:
    """Of the convolutional one."""
    return _training(seed, epochs=10, learning_rate=2e-3, learning_rate_decay=0.8)


def denoising_training(seed: int) -> ImageTrainingConfig:
    """Of the denoising ones."""
    return _training(seed, epochs=6, learning_rate=2e-3, learning_rate_decay=0.8)


def sparse_training(seed: int) -> ImageTrainingConfig:
    """Of the sparse ones."""
    return _training(seed, epochs=8, learning_rate=2e-3, learning_rate_decay=0.8)


def trained(
    name: str, settings: Mapping[str, Any], training: ImageTrainingConfig, seed: int
) -> tuple[ImageModule, ImageTrainingResult]:
    """A model after training; one that was interrupted goes on from its checkpoint."""
    train, validation, _ = mnist()
    torch.manual_seed(seed)
    model = catalog.create(name, train.shape, catalog.configure(name, settings))
    kind = settings.get("noise", settings.get("sparsity", ""))
    checkpoint = home() / "benchmarks" / "images" / f"{name}-{kind}-seed{seed}.safetensors"
    result = train_images(model, train, training, validation=validation, checkpoint=checkpoint, resume=True)
    checkpoint.unlink()
    return model, result


def _training(seed: int, **settings: Any) -> ImageTrainingConfig:
    return ImageTrainingConfig(batch_size=128, pixels=GRAYSCALE, seed=seed, device="cpu", **settings)


def _error(model: ImageModule, images: ImageSet) -> Tensor:
    return squared_error(reconstruct(model, images.floats()), images.floats())


def _by_pca(pca: PCA, x: Tensor) -> Tensor:
    """Cut off to [0, 1], as the means of a model are: PCA gains by it."""
    flat = pca.inverse_transform(pca.transform(x.flatten(1).numpy()))
    return torch.from_numpy(flat.astype(np.float32)).reshape(x.shape).clamp(0.0, 1.0)


def _noisy(images: ImageSet, noise: str, part: str) -> Tensor:
    return corrupt(images.floats(), noise, LEVELS[noise], torch.Generator().manual_seed(NOISE_SEED[part]))


def _median(x: Tensor, side: int) -> Tensor:
    return torch.from_numpy(median_filter(x.numpy(), size=(1, 1, side, side)))


RUNS: dict[str, Callable[[int], dict[str, Any]]] = {
    "ae": timed(measure_dense),
    "conv-ae": timed(measure_convolutional),
    **{f"denoising-ae-{noise}": timed(partial(measure_denoising, noise)) for noise in LEVELS},
    "sparse-ae": timed(measure_sparse),
}


if __name__ == "__main__":
    measure_named(RUNS, __doc__)
