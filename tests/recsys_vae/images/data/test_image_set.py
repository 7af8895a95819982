import pytest
import torch

from recsys_vae.errors import DataError, EmptyDataError, UnknownNameError
from recsys_vae.images.data.image_set import ImageSet
from recsys_vae.images.data.pixels import prepared, seen, static

GREY = ImageSet(torch.full((500, 1, 2, 2), 51, dtype=torch.uint8), torch.arange(500) % 3)


def test_bytes_become_floats_of_the_unit_interval() -> None:
    assert GREY.floats(slice(2)).unique().tolist() == pytest.approx([0.2])
    assert (GREY.shape, GREY.classes, len(GREY)) == ((1, 2, 2), 3, 500)


def test_rows_keep_their_labels() -> None:
    chosen = GREY.only(torch.tensor([4, 5]))
    assert chosen.y is not None
    assert chosen.y.tolist() == [1, 2]


def test_the_fingerprint_tells_sets_apart() -> None:
    same = ImageSet(GREY.x.clone(), GREY.y)
    assert same.fingerprint() == GREY.fingerprint()
    assert len({GREY.fingerprint(), ImageSet(GREY.x).fingerprint(), static(GREY).fingerprint()}) == 3


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (torch.zeros(2, 3, 3), None, "channels, height, width"),
        (torch.zeros(2, 1, 3, 3) + 2, None, r"\[0, 1\]"),
        (torch.full((2, 1, 3, 3), float("nan")), None, r"\[0, 1\]"),
        (torch.zeros(2, 1, 3, 3), torch.zeros(3, dtype=torch.int64), "Labels"),
    ],
)
def test_what_breaks_the_contract_is_refused(x: torch.Tensor, y: torch.Tensor | None, message: str) -> None:
    with pytest.raises(DataError, match=message):
        ImageSet(x, y)


def test_no_image_is_refused() -> None:
    with pytest.raises(EmptyDataError):
        ImageSet(torch.zeros(0, 1, 3, 3))


def test_static_pixels_are_drawn_once_by_their_grey_value_and_never_thresholded() -> None:
    first, second = static(GREY), static(GREY)
    assert torch.equal(first.x, second.x)
    assert first.x.unique().tolist() == [0, 255]
    assert float(first.floats().mean()) == pytest.approx(0.2, abs=0.03)
    assert torch.equal(static(first, seed=7).x, first.x)  # binary already


def test_dynamic_pixels_are_drawn_anew_and_grey_ones_left_alone() -> None:
    x = GREY.floats()
    assert prepared(GREY, "dynamic") is GREY
    assert not torch.equal(seen(x, "dynamic"), seen(x, "dynamic"))
    assert seen(x, "grayscale") is x
    with pytest.raises(UnknownNameError, match="static"):
        prepared(GREY, "statik")
