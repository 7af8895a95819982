import gzip
import struct
from pathlib import Path

import numpy as np
import pytest

from pipelines.images.idx import read_idx
from recsys_vae.errors import DataError

ARRAY = np.arange(12, dtype=np.uint8).reshape(3, 2, 2)
FILE = struct.pack(">HBB3I", 0, 8, 3, 3, 2, 2) + ARRAY.tobytes()


def test_plain_and_packed_files_give_the_array(tmp_path: Path) -> None:
    (tmp_path / "plain").write_bytes(FILE)
    (tmp_path / "packed.gz").write_bytes(gzip.compress(FILE))
    for name in ("plain", "packed.gz"):
        assert (read_idx(tmp_path / name) == ARRAY).all()


@pytest.mark.parametrize("content", [b"", FILE[:-1], b"\0\0\x0d" + FILE[3:], b"PNG" + FILE])
def test_what_is_no_such_file_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "plain").write_bytes(content)
    with pytest.raises(DataError, match="IDX"):
        read_idx(tmp_path / "plain")


def test_a_damaged_package_is_refused(tmp_path: Path) -> None:
    (tmp_path / "packed.gz").write_bytes(gzip.compress(FILE)[:-9])
    with pytest.raises(DataError, match="IDX"):
        read_idx(tmp_path / "packed.gz")
