import matplotlib as mpl
import numpy as np
import pytest
import torch

from recsys_vae.errors import DataError
from recsys_vae.images.analysis import figures


def pictures(*shape: int) -> torch.Tensor:
    return torch.rand(*shape, 1, 14, 14, generator=torch.Generator().manual_seed(0))


def test_a_mosaic_shows_each_image_where_it_belongs_with_paper_between() -> None:
    images = pictures(6)
    paper = figures.mosaic([images[:3], images[3:]])
    assert paper.shape == (2 * 14 + 1, 3 * 14 + 2, 1)
    np.testing.assert_array_equal(paper[15:, 15:29, 0], images[4, 0].numpy())
    assert (paper[14] == 1).all()
    assert (paper[:, 29] == 1).all()


def test_a_mosaic_takes_colours_and_clamps_what_is_out_of_range() -> None:
    paper = figures.mosaic([torch.tensor([2.0, -1.0, 0.5]).view(1, 3, 1, 1).expand(1, 3, 4, 4)])
    assert paper[0, 0].tolist() == [1.0, 0.0, 0.5]


def test_samples_fill_the_last_row_with_paper() -> None:
    shown = figures.samples(pictures(5), columns=3).axes[0].images[0].get_array()
    assert (shown[15:, 30:] == 1).all()


def test_rows_are_named_and_columns_of_traversals_say_their_value() -> None:
    axes = figures.traversals(pictures(2, 3), [7, 9], [-2.0, 0.0, 2.0], caption="vae, static").axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["z7", "z9"]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["-2.0", "+0.0", "+2.0"]
    assert axes.get_title(loc="left") == "vae, static"


def test_a_triptych_says_its_decibels() -> None:
    clean = torch.zeros(2, 1, 14, 14)
    axes = figures.denoising(clean, clean + 0.1, clean + 0.01).axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["clean", "noisy\n20.0 dB", "denoised\n40.0 dB"]


def test_reconstructions_classes_and_paths_are_rows() -> None:
    for figure in (
        figures.reconstructions(pictures(4), pictures(4)),
        figures.class_samples(pictures(2, 4), ["zero", "one"]),
        figures.interpolations(pictures(2, 4)),
    ):
        assert figure.axes[0].images[0].get_array().shape == (29, 59)


def test_nothing_global_is_touched() -> None:
    before = dict(mpl.rcParams)
    figures.samples(pictures(2))
    changed = [name for name, value in mpl.rcParams.items() if value != before[name] and name != "backend"]
    assert changed == []


def test_unequal_rows_are_an_error() -> None:
    with pytest.raises(DataError, match="equal rows"):
        figures.reconstructions(pictures(4), pictures(3))
    with pytest.raises(DataError, match="equal rows"):
        figures.mosaic([])
