import errno
import os
from collections.abc import Callable
from pathlib import Path

import faiss
import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from safetensors.numpy import save_file

from recsys_vae.atomic import atomic_directory, atomic_file
from recsys_vae.errors import DataError, StorageError
from recsys_vae.outputs import new_directory
from recsys_vae.storage import storing

NUMBERS = np.random.default_rng(0).integers(0, 1 << 60, 1 << 16)
FRAME = pl.DataFrame({"a": NUMBERS})


def _index() -> faiss.Index:
    index = faiss.IndexFlatIP(64)
    index.add(np.zeros((1000, 64), np.float32))
    return index


WRITERS: dict[str, Callable[[Path], object]] = {
    "python": lambda path: path.write_bytes(NUMBERS.tobytes()),
    "numpy": lambda path: np.save(path, NUMBERS),
    "polars": FRAME.write_parquet,
    "polars streaming": lambda path: FRAME.lazy().sink_parquet(path),
    "arrow": lambda path: pq.write_table(pa.table({"a": NUMBERS}), path),
    "faiss": lambda path: faiss.write_index(_index(), str(path)),
    "safetensors": lambda path: save_file({"a": NUMBERS}, path),
}


@pytest.mark.usefixtures("full_disk")
@pytest.mark.parametrize("library", WRITERS)
def test_a_full_disk_is_one_error_that_names_the_output(tmp_path: Path, library: str) -> None:
    def write() -> None:
        with atomic_directory(tmp_path / "out", new_directory("a table")) as folder:
            WRITERS[library](folder / "table.npy")

    with pytest.raises(StorageError, match=r"/out cannot be written: .*\. Make room there, or name another place"):
        write()
    assert list(tmp_path.iterdir()) == []


def test_what_a_library_wraps_in_an_error_about_its_input_is_seen_through(tmp_path: Path) -> None:
    def fail() -> None:
        try:
            raise pl.exceptions.ComputeError("No space left on device (os error 28)")
        except pl.exceptions.PolarsError as error:
            raise DataError("log.csv cannot be read") from error

    with (
        pytest.raises(StorageError, match=f"{tmp_path}/out cannot be written: no space left"),
        storing(tmp_path / "out"),
    ):
        fail()


def test_a_folder_that_may_not_be_written_to_is_named(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=f"{tmp_path}/out cannot be written: read-only file system"):
        _refuse(tmp_path, errno.EROFS, tmp_path / "out")


def test_an_input_that_may_not_be_read_is_not_blamed_on_the_output(tmp_path: Path) -> None:
    with pytest.raises(PermissionError, match="/elsewhere/log"):
        _refuse(tmp_path, errno.EACCES, Path("/elsewhere/log"))


def _refuse(folder: Path, code: int, named: Path) -> None:
    with atomic_file(folder / "out"):
        raise OSError(code, os.strerror(code), str(named))
