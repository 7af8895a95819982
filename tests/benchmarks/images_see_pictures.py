"""The pictures of docs/images that show autoencoders without a distribution over codes; small models, minutes.

    python -m tests.benchmarks.images_see_pictures [NAME ...]

What they show is not measured here: figures to quote come from `make bench-images`.
"""

import sys
from collections.abc import Callable

import numpy as np
import torch
from scipy.ndimage import median_filter
from sklearn.decomposition import PCA
from torch import Tensor

from recsys_vae.images.analysis import charts, figures
from recsys_vae.images.analysis.anomaly import scores
from recsys_vae.images.analysis.embeddings import embed
from recsys_vae.images.analysis.fidelity import psnr
from recsys_vae.images.analysis.interpolation import linear
from recsys_vae.images.analysis.latent_map import plane
from recsys_vae.images.analysis.reconstruction import means, reconstruct
from recsys_vae.images.data.image_set import ImageSet
from recsys_vae.images.layers.corruption import corrupt
from recsys_vae.images.models import catalog
from recsys_vae.images.protocol import ImageModule
from recsys_vae.images.training.config import ImageTrainingConfig
from recsys_vae.images.training.loop import train_images
from tests.benchmarks.images_data import mnist, save
from tests.benchmarks.images_see import of_digit

WIDTH = 32
SHOWN = 12
NOISE, LEVEL = "gaussian", 0.3


def draw_autoencoder() -> None:
    """Reconstructions beside PCA's; the map of codes; paths between codes, and codes that belong to nothing."""
    train, _, test = mnist()
    model, x = trained("ae", {"latent": WIDTH}, train, epochs=10), test.floats(slice(SHOWN))
    caption = f"ae and PCA of {WIDTH} numbers, MNIST test, grayscale"
    save(figures.rows([x, _by_pca(train, x), reconstruct(model, x)], ["original", "PCA", "ae"], caption), "autoencoder")
    placed = test.only(slice(2_000))
    assert placed.y is not None
    points = plane(embed(model, placed.floats()), "tsne")
    chart = charts.latent_map(
        points, placed.y.numpy(), axes_of="t-SNE", caption="codes of an ae, MNIST test, grayscale"
    )
    save(chart, "autoencoder-map")
    save(_paths_and_holes(model, test), "autoencoder-holes")


def draw_convolutional() -> None:
    """Reconstructions by dense layers and by convolutions, by codes of one width."""
    train, _, test = mnist()
    x = test.floats(slice(SHOWN))
    dense = trained("ae", {"latent": WIDTH}, train, epochs=10)
    convolutional = trained("conv-ae", {"latent": WIDTH, "channels": 8}, train, epochs=5)
    found = [x, reconstruct(dense, x), reconstruct(convolutional, x)]
    caption = f"codes of {WIDTH} numbers, MNIST test, grayscale"
    save(figures.rows(found, ["original", "ae", "conv-ae"], caption), "convolutional")


def draw_denoising() -> None:
    """Noise, and what a median filter and a denoising autoencoder make of it."""
    train, _, test = mnist()
    model = trained("denoising-ae", {"channels": 8, "noise": NOISE, "level": LEVEL}, train, epochs=5)
    x = test.floats(slice(SHOWN))
    noisy = corrupt(x, NOISE, LEVEL, torch.Generator().manual_seed(0))
    median = torch.from_numpy(median_filter(noisy.numpy(), size=(1, 1, 3, 3)))
    found = {"noisy": noisy, "median 3 x 3": median, "denoising-ae": reconstruct(model, noisy)}
    labels = ["clean", *(f"{name}\n{psnr(images, x).mean():.1f} dB" for name, images in found.items())]
    caption = f"Gaussian noise of deviation {LEVEL}, MNIST test, grayscale"
    save(figures.rows([x, *found.values()], labels, caption), "denoising")


def draw_sparse() -> None:
    """What single units draw: of a code without a price, and of one whose use costs."""
    train, _, _ = mnist()
    units = []
    for settings in ({"weight": 0.0}, {"weight": 0.1}, {"sparsity": "top-k", "k": 15}):
        model = trained("sparse-ae", {"latent": 144, **settings}, train.only(slice(20_000)), epochs=15)
        busiest = model.encode(train.floats(slice(2_000))).mean(dim=0).argsort(descending=True)[:SHOWN]
        units.append(torch.stack([_drawn_by(model, int(unit)) for unit in busiest]))
    caption = "what the busiest units of a sparse-ae draw, MNIST, grayscale"
    save(figures.rows(units, ["no price", "l1", "top 15"], caption), "sparse")


def draw_anomalies() -> None:
    """The most ordinary and the strangest test images to an autoencoder that has seen only threes."""
    train, _, test = mnist()
    model = trained("ae", {"hidden": "256", "latent": 12}, of_digit(train, 3), epochs=20)
    threes, others = of_digit(test, 3).floats(), test.only(test.y != 3).floats()  # type: ignore[arg-type]
    picked = [_ends(model, threes), _ends(model, others)]
    found = [part for images in picked for part in (images, reconstruct(model, images))]
    labels = ["threes", "made of them", "others", "made of them"]
    caption = "six lowest and six highest scores of each, ae trained on threes, MNIST test, grayscale"
    save(figures.rows(found, labels, caption), "anomalies")


def trained(name: str, settings: dict[str, object], images: ImageSet, *, epochs: int) -> ImageModule:
    """A model of the catalogue, trained on grey pixels."""
    torch.manual_seed(0)
    model = catalog.create(name, images.shape, catalog.configure(name, settings))
    train_images(model, images, ImageTrainingConfig(epochs=epochs, learning_rate=2e-3, learning_rate_decay=1.0))
    return model


def _by_pca(train: ImageSet, x: Tensor) -> Tensor:
    model = PCA(WIDTH, random_state=0).fit(train.floats(slice(20_000)).flatten(1).numpy())
    found = model.inverse_transform(model.transform(x.flatten(1).numpy())).astype(np.float32)
    return torch.from_numpy(found).view_as(x)


def _paths_and_holes(model: ImageModule, test: ImageSet) -> figures.Figure:
    with torch.no_grad():
        codes = model.encode(test.floats(slice(2_000)))
        noise = torch.randn(SHOWN, WIDTH, generator=torch.Generator().manual_seed(0))
        rows = [linear(codes[2], codes[0], SHOWN), linear(codes[1], codes[3], SHOWN)]
        rows.append(codes.mean(dim=0) + codes.std(dim=0) * noise)
        drawn = [means(model, model.decode(row)) for row in rows]
    labels = ["between two codes", "between two codes", "random codes"]
    return figures.rows(drawn, labels, "what an ae decodes, MNIST, grayscale")


def _drawn_by(model: ImageModule, unit: int) -> Tensor:
    """What a unit adds to the picture, with paper grey where it adds nothing."""
    codes = torch.zeros(2, model.config.latent)
    codes[1, unit] = 1.0
    with torch.no_grad():
        nothing, alone = model.decode(codes)
    added = alone - nothing
    return 0.5 + 0.5 * added / added.abs().max()


def _ends(model: ImageModule, images: Tensor) -> Tensor:
    order = scores(model, images).argsort()
    return images[torch.from_numpy(np.concatenate([order[: SHOWN // 2], order[-SHOWN // 2 :]]))]


PICTURES: dict[str, Callable[[], None]] = {
    "autoencoder": draw_autoencoder,
    "convolutional": draw_convolutional,
    "denoising": draw_denoising,
    "sparse": draw_sparse,
    "anomalies": draw_anomalies,
}


if __name__ == "__main__":
    for wanted in sys.argv[1:] or PICTURES:
        PICTURES[wanted]()
