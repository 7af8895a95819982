from pathlib import Path
from zipfile import ZipFile

import polars as pl
import pytest

from pipelines.ingest.formats.movielens import GENRES
from pipelines.public_datasets import formats
from recsys_vae.errors import DataError

FLAGS = "|".join("1" if genre in ("Comedy", "Film-Noir") else "0" for genre in GENRES)
WHEEL = {
    ".inter": "user_id:token\titem_id:token\trating:float\ttimestamp:float\n196\t242\t3\t881250949\n",
    ".user": "user_id:token\tage:token\tgender:token\toccupation:token\tzip_code:token\n196\t49\tM\twriter\t55105\n",
    ".item": "item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq\n"
    "242\tKolya\t1996\tComedy Film-Noir\n267\tunknown\t\tunknown\n",
}


def archive(path: Path, members: dict[str, str], encoding: str = "utf-8") -> Path:
    with ZipFile(path, "w") as zipped:
        for name, content in members.items():
            zipped.writestr(name, content.encode(encoding))
    return path


def test_both_publications_of_movielens_100k_give_the_same_tables(tmp_path):
    wheel = archive(tmp_path / "r.whl", {formats.WHEEL_FOLDER + name: text for name, text in WHEEL.items()})
    zipped = archive(
        tmp_path / "ml-100k.zip",
        {
            "ml-100k/u.data": "196\t242\t3\t881250949\n",
            "ml-100k/u.user": "196|49|M|writer|55105\n",
            "ml-100k/u.item": f"242|Kolya (1996)|24-Jan-1997||http://example.org|{FLAGS}\n"
            "267|unknown||||" + "1" + "|0" * 18 + "\n",
        },
    )
    for name, read, path in (("a", formats.read_ml100k_wheel, wheel), ("b", formats.read_ml100k_zip, zipped)):
        (tmp_path / name).mkdir()
        read([path], tmp_path / name)
    tables = {name: pl.read_parquet(tmp_path / "a" / f"{name}.parquet") for name in ("ratings", "users", "movies")}
    assert tables["ratings"].row(0) == ("196", "242", 3.0, 881250949)
    assert tables["movies"].rows() == [("242", "Kolya (1996)", "Comedy|Film-Noir"), ("267", "unknown", "unknown")]
    for name, table in tables.items():
        assert table.equals(pl.read_parquet(tmp_path / "b" / f"{name}.parquet"))


def test_movielens_1m_is_split_at_double_colons_and_read_as_latin_1(tmp_path):
    members = {
        "ml-1m/ratings.dat": "1::1193::5::978300760\n",
        "ml-1m/users.dat": "1::F::1::10::48067\n",
        "ml-1m/movies.dat": "73::Misérables, Les (1995)::Drama|Musical\n",
    }
    formats.read_ml1m_zip([archive(tmp_path / "ml-1m.zip", members, "latin-1")], tmp_path)
    assert pl.read_parquet(tmp_path / "ratings.parquet").row(0) == ("1", "1193", 5.0, 978300760)
    assert pl.read_parquet(tmp_path / "users.parquet").row(0) == ("1", "F", "1", "10", "48067")
    assert pl.read_parquet(tmp_path / "movies.parquet").row(0) == ("73", "Misérables, Les (1995)", "Drama|Musical")


def test_the_csv_archives_are_read_by_their_headers(tmp_path):
    members = {
        "ml-20m/ratings.csv": "userId,movieId,rating,timestamp\n1,2,3.5,1112486027\n",
        "ml-20m/movies.csv": 'movieId,title,genres\n11,"American President, The (1995)",Comedy\n',
    }
    folder = tmp_path / "tables"
    folder.mkdir()
    formats.read_movielens_csv_zip([archive(tmp_path / "ml-20m.zip", members)], folder)
    assert pl.read_parquet(folder / "ratings.parquet").row(0) == ("1", "2", 3.5, 1112486027)
    assert pl.read_parquet(folder / "movies.parquet").row(0)[:2] == ("11", "American President, The (1995)")
    assert sorted(path.name for path in folder.iterdir()) == ["movies.parquet", "ratings.parquet"]


def test_adjacency_lists_become_pairs(tmp_path):
    (tmp_path / "train.txt").write_text("0 5 7\n1\n2 5\n")
    formats.read_adjacency_lists([tmp_path / "train.txt"], tmp_path)
    assert pl.read_parquet(tmp_path / "train.parquet").rows() == [(0, 5), (0, 7), (2, 5)]


def test_an_archive_without_its_files_is_an_error(tmp_path):
    with pytest.raises(DataError, match=r"holds no readable ml-1m/ratings\.dat"):
        formats.read_ml1m_zip([archive(tmp_path / "ml-1m.zip", {"else": ""})], tmp_path)
