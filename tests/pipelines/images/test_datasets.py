import gzip
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from pipelines.images import datasets
from pipelines.images.datasets import FASHION_FILES, load_images, load_images_for
from recsys_vae.errors import ConfigError, DataError, UnavailableError, UnknownNameError

pytestmark = pytest.mark.usefixtures("recsys_home")


@pytest.fixture
def shelf(tmp_path: Path, recsys_home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """RECSYS_DATA_DIR with MNIST and Fashion-MNIST in little: 12 and 4 images, 5 of them for validation."""
    monkeypatch.setenv("RECSYS_DATA_DIR", str(tmp_path))
    monkeypatch.setattr(datasets, "HELD_OUT", 5)
    monkeypatch.setattr(datasets, "DEBIAN_FASHION", tmp_path / "none")
    (tmp_path / "mnist").mkdir()
    (x, y), (x_test, y_test) = some(12), some(4)
    np.savez(tmp_path / "mnist" / "mnist.npz", x_train=x, y_train=y, x_test=x_test, y_test=y_test)
    (tmp_path / "fashion-mnist").mkdir()
    for name, array in zip(FASHION_FILES, (*some(12), *some(4)), strict=True):
        head = struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape)
        (tmp_path / "fashion-mnist" / f"{name}.gz").write_bytes(gzip.compress(head + array.tobytes()))
    return tmp_path


def some(n: int) -> tuple[np.ndarray, np.ndarray]:
    return np.arange(n * 784, dtype=np.uint8).reshape(n, 28, 28), np.arange(n, dtype=np.uint8) % 10


@pytest.mark.parametrize("name", ["mnist", "fashion-mnist"])
@pytest.mark.usefixtures("shelf")
def test_the_published_test_part_is_kept_and_validation_is_the_end_of_train(name: str) -> None:
    parts, (x, y) = load_images(name), some(12)
    assert torch.equal(parts.train.x[:, 0], torch.from_numpy(x[:7]))
    assert torch.equal(parts.validation.x[:, 0], torch.from_numpy(x[7:]))
    assert parts.validation.y is not None
    assert parts.validation.y.tolist() == y[7:].tolist()
    assert len(parts.test) == 4
    assert (parts.shape, len(parts.labels)) == ((1, 28, 28), 10)
    assert parts.part("test") is parts.test
    with pytest.raises(UnknownNameError, match="validation"):
        parts.part("valid")


def test_where_nothing_lies_the_publisher_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets, "DEBIAN_FASHION", tmp_path / "none")
    asked: list[str] = []

    def refuse(url: str, partial: Path) -> None:
        asked.append(url)
        raise UnavailableError("nobody answers")

    monkeypatch.setattr("pipelines.public_datasets.download._receive", refuse)
    for name in ("mnist", "fashion-mnist"):
        with pytest.raises(UnavailableError):
            load_images(name)
    assert [url.rpartition("/")[2] for url in asked] == ["mnist.npz", "train-images-idx3-ubyte.gz"]


def test_something_else_under_the_name_of_mnist_is_refused(shelf: Path) -> None:
    (shelf / "mnist" / "mnist.npz").write_bytes(b"PK nothing")
    with pytest.raises(DataError, match="is not MNIST"):
        load_images("mnist")


@pytest.mark.parametrize(("name", "n", "shape"), [("digits", 1797, (1, 8, 8)), ("shapes", 6144, (1, 32, 32))])
def test_sets_without_a_published_cut_are_cut_at_random_always_alike(name: str, n: int, shape: tuple[int, ...]) -> None:
    parts, again = load_images(name), load_images(name)
    sizes = [len(part) for part in (parts.train, parts.validation, parts.test)]
    assert sum(sizes) == n
    assert sizes[1] == sizes[2] == -(-n // 10)
    assert parts.shape == shape
    assert parts.test.fingerprint() == again.test.fingerprint()
    assert parts.test.y is not None
    assert len(parts.test.y.unique()) == len(parts.labels)  # every class is there


def test_digits_span_the_range_of_bytes() -> None:
    assert (int(load_images("digits").train.x.min()), int(load_images("digits").train.x.max())) == (0, 255)


def test_a_model_gets_folders_and_shapes_in_its_own_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(3):
        Image.new("L", (20, 20), 60 * number).save(tmp_path / f"{number}.png")
    assert load_images(str(tmp_path), size=6, colour=True).shape == (3, 6, 6)
    assert load_images_for(str(tmp_path), (3, 5, 7)).shape == (3, 5, 7)
    asked: list[int] = []
    shapes = datasets.generated_shapes()
    monkeypatch.setattr(datasets, "generated_shapes", lambda size: asked.append(size) or shapes)
    load_images("shapes")
    assert load_images_for("shapes", (1, 32, 32)).shape == (1, 32, 32)
    with pytest.raises(DataError, match=r"\(1, 40, 40\)"):
        load_images_for("shapes", (1, 40, 40))
    assert asked == [32, 32, 40]
    with pytest.raises(DataError, match=r"\(1, 8, 8\)"):
        load_images_for("digits", (1, 28, 28))


def test_no_side_is_not_the_usual_side(tmp_path: Path) -> None:
    for data in ("shapes", str(tmp_path)):
        with pytest.raises(ConfigError, match="pixels wide"):
            load_images(data, size=0)


def test_published_images_that_are_all_the_same_are_refused(shelf: Path) -> None:
    images, labels = np.zeros((12, 28, 28), np.uint8), np.zeros(12, np.uint8)
    np.savez(shelf / "mnist" / "mnist.npz", x_train=images, y_train=labels, x_test=images, y_test=labels)
    with pytest.raises(DataError, match="All images of mnist are the same"):
        load_images("mnist")


@pytest.mark.parametrize("options", [{"size": 12}, {"colour": True}])
def test_options_without_effect_are_refused(options: dict[str, int]) -> None:
    with pytest.raises(ConfigError):
        load_images("digits", **options)  # type: ignore[arg-type]


def test_unknown_sets_are_refused_by_a_list_of_those_that_exist() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'mnist'"):
        load_images("mnits")
