import numpy as np
import pytest
import torch

from recsys_vae.errors import DataError
from recsys_vae.images.analysis.charts import codebook, latent_map, training_curves


def legend(figure) -> list[str]:
    return [text.get_text() for text in figure.legends[0].get_texts()]


def test_a_map_has_one_cloud_a_label() -> None:
    points = np.arange(12, dtype=np.float32).reshape(6, 2)
    figure = latent_map(points, np.array([0, 0, 3, 3, 3, 5]), names=list("abcdef"), axes_of="PCA", caption="digits")
    axes = figure.axes[0]
    assert legend(figure) == ["a", "d", "f"]
    assert [len(cloud.get_offsets()) for cloud in axes.collections] == [2, 3, 1]
    assert axes.get_xlabel() == "PCA 1"
    assert not latent_map(points).legends


def test_a_map_is_flat_and_not_too_colourful() -> None:
    with pytest.raises(DataError, match="project them first"):
        latent_map(np.zeros((4, 3), dtype=np.float32))
    with pytest.raises(DataError, match="leave the labels out"):
        latent_map(np.zeros((30, 2), dtype=np.float32), np.arange(30))


def test_a_codebook_shows_its_use_and_perplexity() -> None:
    figure = codebook(torch.tensor([0, 5, 5, 0]))
    assert "use 50% of 4 codes, perplexity 2.0" in legend(figure)
    assert [bar.get_height() for bar in figure.axes[0].patches] == [0.5, 0.5, 0, 0]
    with pytest.raises(DataError, match="No code"):
        codebook(torch.zeros(3, dtype=torch.int64))


def test_curves_show_what_was_measured() -> None:
    history = [{"loss": 3.0}, {"loss": 2.0, "validation_loss": 2.5}]
    figure = training_curves(history, ["loss", "validation_loss", "kl"], unit="nats an image")
    assert legend(figure) == ["loss", "validation_loss"]
    assert figure.axes[0].lines[1].get_xydata().tolist() == [[2, 2.5]]
    with pytest.raises(DataError, match="nothing to draw"):
        training_curves(history, ["kl"], unit="nats")
