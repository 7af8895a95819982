import pytest

from pipelines.ingest.part_folders import parts_of
from recsys_vae.errors import DataError


@pytest.mark.parametrize("packed", [".gz", ".zst", ".bz2", ".xz"])
def test_parts_are_of_one_kind_whatever_packs_them(tmp_path, packed):
    for name in ("part-0.csv", "part-1.csv"):
        (tmp_path / f"{name}{packed}").touch()
    assert [path.name for path in parts_of(tmp_path)] == [f"part-0.csv{packed}", f"part-1.csv{packed}"]
    (tmp_path / f"part-2.json{packed}").touch()
    with pytest.raises(DataError, match="several kinds"):
        parts_of(tmp_path)
