"""Files of tensors: the bytes of the library's own, and what is mapped of them."""

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from recsys_vae.arrays import is_mapped
from recsys_vae.errors import DataError
from recsys_vae.tensor_file import Blocks, map_tensors, write_tensors

RNG = np.random.default_rng(0)
TENSORS = {
    "b": np.arange(7),
    "a": RNG.random((6, 4)).astype(np.float32),
    'é "x"': np.zeros((2, 0), np.float32),
    "bytes": np.arange(5, dtype=np.uint8),
    "scalar": np.array(3.0, np.float32),
    "double": RNG.random(3),
    "int": np.arange(3, dtype=np.int32),
    "flags": np.array([True, False]),
    "strided": RNG.random((4, 6)).astype(np.float32).T,
}


@pytest.mark.parametrize("metadata", [None, {"key": "välue"}])
def test_the_bytes_are_the_librarys(metadata: dict[str, str] | None, tmp_path: Path) -> None:
    save_file({name: np.array(one, order="C") for name, one in TENSORS.items()}, tmp_path / "theirs", metadata)
    in_blocks = Blocks(np.dtype(np.float32), (6, 4), np.array_split(TENSORS["a"], 4))
    for number, tensors in enumerate((TENSORS, {**TENSORS, "a": in_blocks})):
        ours = tmp_path / str(number)
        digest = write_tensors(ours, tensors, metadata)
        assert ours.read_bytes() == (tmp_path / "theirs").read_bytes()
        assert len(digest) == 64


def test_what_is_mapped_is_what_was_written(tmp_path: Path) -> None:
    write_tensors(tmp_path / "file", TENSORS)
    found = map_tensors(tmp_path / "file")
    assert found.keys() == TENSORS.keys()
    for name, expected in TENSORS.items():
        assert found[name].dtype == expected.dtype
        assert np.array_equal(found[name], expected)
        assert is_mapped(found[name]) == bool(expected.size)
    found["a"][:] = 0
    assert np.array_equal(load_file(tmp_path / "file")["a"], TENSORS["a"])


def test_blocks_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    blocks = Blocks(np.dtype(np.float32), (6, 4), [TENSORS["a"][:5]])
    with pytest.raises(DataError, match="80 bytes, expected 96"):
        write_tensors(tmp_path / "file", {"a": blocks})


@pytest.mark.parametrize("content", [b"", b"\0" * 8, b"\2" + b"\0" * 7 + b"{", b"\2" + b"\0" * 7 + b"[]"])
def test_other_files_are_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(DataError, match="no file of tensors"):
        map_tensors(tmp_path / "file")


def test_a_file_that_is_cut_off_is_refused(tmp_path: Path) -> None:
    write_tensors(tmp_path / "file", TENSORS)
    (tmp_path / "file").write_bytes((tmp_path / "file").read_bytes()[:-8])
    with pytest.raises(DataError, match="no file of tensors"):
        map_tensors(tmp_path / "file")
