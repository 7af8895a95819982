"""Vectors that an index is made of: in memory, or in a file for as long as it takes."""

from pathlib import Path

import numpy as np
import pytest
import torch

from recsys_vae.models.mult_dae import MultDAE, MultDAEConfig
from recsys_vae.retrieval import index_files
from recsys_vae.retrieval.index_files import vectors_for, write_index


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
