"""Shelves in a bundle: read as they were written, refused where their values do not fit."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from recsys_vae.bundles.bundle import Bundle, write_bundle
from recsys_vae.bundles.manifest import Provenance
from recsys_vae.bundles.neighbours import FEWEST, MOST, n_kept
from recsys_vae.bundles.shelves import LISTS, NEIGHBOURS, Shelves
from tests.recsys_vae.test_bundle_values import SHELVES, WORLD, change, refused, written
from tests.worlds import untrained


def test_shelves_are_read_as_they_were_written(tmp_path: Path) -> None:
    found = Bundle.load(written(tmp_path / "b")).shelves
    assert found.lists.rules == SHELVES.lists.rules
    assert found.lists.names == SHELVES.lists.names
    assert found.neighbours is not None
    assert SHELVES.neighbours is not None
    assert (found.neighbours.similar.toarray() == SHELVES.neighbours.similar.toarray()).all()
    assert (found.neighbours.together.toarray() == SHELVES.neighbours.together.toarray()).all()


def test_a_bundle_without_them_has_what_is_popular(tmp_path: Path) -> None:
    model, counts = untrained("elsa", 200), WORLD.item_counts()
    write_bundle(tmp_path / "b", model, WORLD.items, popularity=counts, provenance=Provenance())
    found = Bundle.load(tmp_path / "b").shelves
    assert (found.lists.names, found.neighbours) == (("popular",), None)
    write_bundle(tmp_path / "c", model, WORLD.items, popularity=counts, provenance=Provenance(), shelves=Shelves())
    assert Bundle.load(tmp_path / "c").shelves.lists.names == ("popular",)


@pytest.mark.parametrize(
    ("file", "name", "value", "message"),
    [
        (LISTS, "ages", lambda a: a[:-1], "shape"),
        (LISTS, "ages", lambda a: a - 5, "below 0"),
        (LISTS, "recent", lambda a: a * np.nan, "not finite"),
        (LISTS, "baseline", lambda a: -a - 1, "no counts"),
        (LISTS, "segments.data", lambda a: -a, "no counts"),
        (LISTS, "segments.indices", lambda a: a + 200, "names columns"),
        (NEIGHBOURS, "similar.indices", lambda a: a + 200, "names columns"),
        (NEIGHBOURS, "similar.data", lambda a: a * 0, "not above 0"),
        (NEIGHBOURS, "together.indices", lambda a: a[::-1], "twice"),
        (NEIGHBOURS, "together.indptr", lambda a: a[::-1], "row starts"),
    ],
)
def test_values_out_of_range_are_refused(tmp_path: Path, file: str, name: str, value: Any, message: str) -> None:
    path = written(tmp_path / "b")
    change(path / file, **{name: value(load_file(path / file)[name])})
    assert message in refused(path)


def test_a_missing_tensor_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path / "b")
    tensors = load_file(path / LISTS)
    del tensors["ages"]
    save_file(tensors, path / LISTS)
    assert "ages" in refused(path)


def test_large_catalogues_keep_fewer_neighbours_of_each_item() -> None:
    assert (n_kept(10), n_kept(400_000), n_kept(10**8)) == (MOST, 50, FEWEST)
