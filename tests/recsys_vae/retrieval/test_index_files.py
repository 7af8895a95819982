"""Vectors that an index is made of: in memory, or in a file for as long as it takes."""

from pathlib import Path

import numpy as np
import pytest
import torch

from recsys_vae.errors import RetrievalError
from recsys_vae.models.mult_dae import MultDAE, MultDAEConfig
from recsys_vae.retrieval import flat_file, index_files
from recsys_vae.retrieval.exact import TorchIndex
from recsys_vae.retrieval.index_files import read_index, vectors_for, write_index


def test_an_index_on_disk_is_the_same_of_vectors_that_are_mapped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    model, written = MultDAE(300, MultDAEConfig(hidden=7)), []
    monkeypatch.setattr(index_files, "ROWS_AT_ONCE", 128)
    for least in (1000, 100):
        monkeypatch.setattr(index_files, "WRITTEN_FIRST", least)
        with vectors_for("ondisk", model, tmp_path) as vectors:
            assert isinstance(vectors, np.memmap) == (least == 100)
            assert np.array_equal(vectors, model.item_vectors())
            write_index(tmp_path, vectors, "ondisk")
        written.append((tmp_path / "index.safetensors").read_bytes())
    assert written[0] == written[1]
    with vectors_for("flat", model, tmp_path) as vectors:
        assert not isinstance(vectors, np.memmap)
    assert [path.name for path in tmp_path.iterdir()] == ["index.safetensors"]


def test_the_file_of_a_flat_index_is_compared_without_faiss(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    vectors = np.random.default_rng(0).standard_normal((10_000, 7), dtype=np.float32)
    report = write_index(tmp_path, vectors, "flat")
    monkeypatch.setattr(index_files, "load_index", lambda *_, **__: pytest.fail("FAISS was asked"))
    index = read_index(tmp_path, vectors, report, to_ask=True)
    assert isinstance(index, TorchIndex)
    assert index.vectors is vectors
    others = vectors.copy()
    others[5000, 3] += 1e-6
    read_index(tmp_path, others, report, to_ask=True)  # to rounding it is the same
    others[5000, 3] += 1
    with pytest.raises(RetrievalError, match="other vectors"):
        read_index(tmp_path, others, report, to_ask=True)


@pytest.mark.parametrize("damage", [b"", b"IxF2", b"more"])
def test_files_that_are_not_as_faiss_writes_them_are_left_to_faiss(tmp_path: Path, damage: bytes) -> None:
    vectors = np.random.default_rng(0).standard_normal((100, 7), dtype=np.float32)
    report, path = write_index(tmp_path, vectors, "flat"), tmp_path / "index.faiss"
    written = path.read_bytes()
    path.write_bytes(written + damage if damage == b"more" else damage + written[len(damage) or len(written) :])
    assert not flat_file.holds(path, vectors)
    if damage != b"more":
        with pytest.raises(RetrievalError):
            read_index(tmp_path, vectors, report, to_ask=True)
