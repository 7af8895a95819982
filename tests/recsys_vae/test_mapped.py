"""What processes share lies in memory once, is whole, and nobody's writing shows elsewhere."""

from pathlib import Path

import numpy as np
import pytest
from scipy.sparse import csr_array

from recsys_vae.arrays import is_mapped
from recsys_vae.bundles.bundle import Bundle
from recsys_vae.mapped import MappedArrays, as_made
from recsys_vae.protocols import Tensors
from tests.service.tiny import write_tiny_bundle


def two() -> Tensors:
    return {"a.b": np.arange(6, dtype=np.float32).reshape(2, 3), "c/d": np.ones(3, np.uint8)}


def nothing() -> Tensors:
    raise AssertionError("they are there already")


def test_the_second_finds_what_the_first_has_made(tmp_path: Path) -> None:
    first, second = MappedArrays(tmp_path / "x")("w", two), MappedArrays(tmp_path / "x")("w", nothing)
    for name, array in two().items():
        for found in (first, second):
            assert is_mapped(found[name])
            np.testing.assert_array_equal(found[name], array)
    first["a.b"][:] = 7
    np.testing.assert_array_equal(second["a.b"], two()["a.b"])
    assert not is_mapped(as_made("w", two)["a.b"])


def test_where_nothing_can_be_written_they_are_as_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    keep = MappedArrays(tmp_path)
    monkeypatch.setattr(np, "save", full)
    np.testing.assert_array_equal(keep("w", two)["a.b"], two()["a.b"])
    assert list(tmp_path.iterdir()) == []


def test_whoever_comes_at_the_same_time_takes_what_was_first(tmp_path: Path) -> None:
    keep = MappedArrays(tmp_path)

    def slowly() -> Tensors:
        keep("w", lambda: {"a": np.zeros(1)})
        return {"a": np.ones(1)}

    assert keep("w", slowly)["a"][0] == 0


def test_only_what_was_asked_for_last_stays_and_what_is_mapped_can_be_read(tmp_path: Path) -> None:
    folder = MappedArrays(tmp_path)
    first = folder.below("0", most=2)("w", two)
    for number in (1, 2):
        folder.below(str(number), most=2)("w", two)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["1", "2"]
    np.testing.assert_array_equal(first["a.b"], two()["a.b"])


@pytest.mark.parametrize("model", ["mult-vae", "ease"])
def test_a_bundle_of_mapped_arrays_answers_alike(tmp_path: Path, model: str) -> None:
    bundle = write_tiny_bundle(tmp_path / "bundle", model)
    alone, mapped = Bundle.load(bundle), Bundle.load(bundle, lambda manifest: MappedArrays(tmp_path / manifest.version))
    history = csr_array((np.ones(2, np.float32), [0, 1], [0, 2]), shape=(1, alone.model.n_items))
    np.testing.assert_array_equal(alone.model.score(history), mapped.model.score(history))
    if alone.index is not None and mapped.index is not None:
        assert is_mapped(mapped.index.vectors) or not mapped.index.is_steady
        queries = alone.model.encode(history)  # type: ignore[attr-defined]
        one, other = alone.index.search(queries, 3), mapped.index.search(queries, 3)
        np.testing.assert_array_equal(one.rows, other.rows)
        np.testing.assert_array_equal(one.scores, other.scores)
        mapped.index.save(tmp_path / "again")  # type: ignore[union-attr]
