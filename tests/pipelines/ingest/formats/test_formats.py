"""What is read of one made file of each format, exactly: tests/formats/ has the files."""

from pathlib import Path

import polars as pl
import pytest

from pipelines.ingest.formats.catalog import FORMATS
from pipelines.ingest.formats.format import Role
from pipelines.ingest.formats.recognition import Says, look_at
from pipelines.ingest.log_files import ColumnMap
from pipelines.ingest.log_sources import Source
from pipelines.ingest.readers import open_log, streams
from recsys_vae.data.columns import INTERACTION_COLUMNS
from recsys_vae.errors import ConfigError, DataError, SchemaError, UnknownNameError

FILES = Path(__file__).parents[3] / "formats"
SHA_1 = "00000c289a1829a808ac09c00daf10bc3c4e223b"
VENUES = ("49bbd6c0f964a520f4531fe3", "4a43c0aef964a520c6a61fe3")

LOGS = {
    ("amazon", "amazon/reviews_Made_5.json.gz"): [
        ("A2SUAM1J3GNN3B", "0000013714", None, "5", "1252800000"),
        ("A1XX", "B000MADE00", None, "3", "1370131200"),
    ],
    ("amazon-2023", "amazon-2023/Made.jsonl.gz"): [
        ("AEYORY2AVPMCPDV57CE337YU5LXA", "B0MADEPRNT", None, "4", "1588687728923")
    ],
    ("amazon-csv", "amazon-csv/ratings_Made.csv"): [
        ("A1EE2E3N7PW666", "B000GFDAUG", None, "5.0", "1202256000"),
        ("A2Z8SM1BGK3CK", "0000MADE12", None, "1.0", "1198195200"),
    ],
    ("amazon-csv-2018", "amazon-csv-2018/Made.csv"): [
        ("A3478QRKQDOPQ2", "0000MADE12", None, "5.0", "1362960000"),
        ("A2VHSG6TZHU1OB", "B000GFDAUG", None, "5.0", "1361145600"),
    ],
    ("amazon-csv-2023", "amazon-csv-2023/Made.csv"): [
        ("AGKASBHYZPGTEPO6LWZPVJWB2BVA", "B006GBITXC", None, "3.0", "1452647382000")
    ],
    ("book-crossing", "book-crossing/BX-Book-Ratings.csv"): [
        ("276725", "034545104X", "implicit", None, None),
        ("276726", "0155061224", "rating", "5", None),
        ("276727", "ISBN; 12", "rating", "8", None),
    ],
    ("gowalla-checkins", "brightkite/loc-brightkite_totalCheckins.txt"): [
        ("0", "88c46bf20db295831bd2d1718ad7e6f5", None, None, "2010-10-17T01:48:53Z"),
        ("1", None, None, None, "2008-05-22T05:03:33Z"),
        ("2", None, None, None, None),
    ],
    ("criteo-attribution", "criteo-attribution/criteo_attribution_dataset.tsv"): [
        ("20073966", "22589171", None, None, "0"),
        ("24607497", "884761", None, None, "2"),
    ],
    ("foursquare-tsmc", "foursquare/dataset_TSMC2014_NYC.txt"): [
        ("470", VENUES[0], None, None, "Tue Apr 03 18:00:09 +0000 2012"),
        ("979", VENUES[1], None, None, "Tue Apr 03 18:00:25 +0000 2012"),
    ],
    ("gowalla-checkins", "gowalla/loc-gowalla_totalCheckins.txt"): [
        ("0", "22847", None, None, "2010-10-19T23:55:27Z"),
        ("0", "420315", None, None, "2010-10-18T22:17:43Z"),
    ],
    ("hetrec", "hetrec-lastfm/user_artists.dat"): [("2", "51", None, "13883", None), ("2", "52", None, "11690", None)],
    ("hetrec", "hetrec-lastfm/user_taggedartists-timestamps.dat"): [
        ("2", "52", None, None, "1238536800000"),
        ("3", "52", None, None, "-428720400000"),
    ],
    ("hetrec", "hetrec-lastfm/user_taggedartists.dat"): [
        ("2", "52", None, None, "2009-04-01"),
        ("2", "52", None, None, "2009-11-01"),
    ],
    ("jester", "jester/jester-data-1.csv"): [
        ("1", "1", None, "-7.82", None),
        ("1", "2", None, "8.79", None),
        ("2", "2", None, "4.08", None),
    ],
    ("jester-ratings", "jester/jester_ratings.dat"): [
        ("1", "5", None, "0.219", None),
        ("1", "7", None, "-9.281", None),
    ],
    ("lastfm-1k", "lastfm-1k/userid-timestamp-artid-artname-traid-traname.tsv"): [
        ("user_000001", "Made Dish", None, None, "2009-05-04T23:08:57Z")
    ],
    ("lastfm-360k", "lastfm-360k/usersha1-artmbid-artname-plays.tsv"): [
        (SHA_1, 'made "b" owtorch', None, "2137", None),
        ("f" * 40, "die Ärzte, made", None, "1099", None),
    ],
    ("libfm", "libfm/train.libfm"): [("0", "7", None, "5", None), ("1", "8", None, "3", None)],
    ("lightgcn", "lightgcn/test.txt"): [("0", "3", None, None, None), ("2", "4", None, None, None)],
    ("lightgcn", "lightgcn/train.txt"): [
        ("0", "0", None, None, None),
        ("0", "1", None, None, None),
        ("0", "2", None, None, None),
        ("1", "1", None, None, None),
        ("2", "2", None, None, None),
        ("2", "0", None, None, None),
        ("2", "3", None, None, None),
        ("2", "1", None, None, None),
    ],
    ("mind", "mind/behaviors.tsv"): [
        ("U13740", "N3", "click", None, "2019-11-11T09:05:58Z"),
        ("U13740", "N5", "click", None, "2019-11-11T09:05:58Z"),
        ("U91836", "N3", "click", None, "2019-11-12T18:11:30Z"),
    ],
    ("movielens-100k", "ml-100k/u.data"): [
        ("196", "242", None, "3", "881250949"),
        ("186", "267", None, "3", "891717742"),
    ],
    ("movielens-dat", "ml-10m/ratings.dat"): [
        ("1", "122", None, "5", "838985046"),
        ("1", "185", None, "4.5", "838983525"),
    ],
    ("movielens-dat", "ml-1m/ratings.dat"): [
        ("1", "1193", None, "5", "978300760"),
        ("1", "661", None, "3", "978302109"),
        ("2", "1193", None, "4", "978298413"),
    ],
    ("movielens-csv", "ml-20m/ratings.csv"): [
        ("1", "2", None, "3.5", "1112486027"),
        ("1", "29", None, "4.0", "1112484676"),
    ],
    ("movietweetings", "movietweetings/ratings.dat"): [
        ("1", "0114508", None, "8", "1381006850"),
        ("2", "11358390", None, "9", "1579057827"),
    ],
    ("netflix", "netflix/combined_data_1.txt"): [
        ("1488844", "1", None, "3", "2005-09-06"),
        ("822109", "1", None, "5", "2005-05-13"),
        ("1488844", "2", None, "4", "2005-09-05"),
    ],
    ("recbole", "recbole/made.inter"): [
        ("196", "242", None, None, "881250949"),
        ("186", "302", None, None, "891717742"),
    ],
    ("retailrocket", "retailrocket/events.csv"): [
        ("257597", "355908", "view", None, "1433221332117"),
        ("992329", "248676", "transaction", None, "1433224214164"),
    ],
    ("steam-200k", "steam-200k/steam-200k.csv"): [
        ("151603712", "The Made Scrolls V", "purchase", "1.0", None),
        ("151603712", "The Made Scrolls V", "play", "273.0", None),
        ("59945701", "Made, the Game", "play", "0.1", None),
    ],
    ("svmlight", "svmlight/train.svm"): [
        ("1", "3", None, "2", None),
        ("1", "7", None, "0.5", None),
        ("2", "7", None, "1", None),
    ],
    ("yelp", "yelp/yelp_academic_dataset_review.json"): [
        ("mh_-eMZ6K5RLWhZyISBhwA", "XQfwVwDr-v0ZS3_CbbE5Xw", None, "3", "2018-07-07 22:09:11")
    ],
    ("yelp-tips", "yelp/yelp_academic_dataset_tip.json"): [
        ("AGNUgVwnZUey3gcPCJ76iw", "3uLgwr0qeCNMjKenHJwPGQ", "tip", None, "2012-05-18 02:17:21")
    ],
    ("yoochoose-buys", "yoochoose/yoochoose-buys.dat"): [
        ("420374", "214537888", "buy", None, "2014-04-06T18:44:58.314Z"),
        ("420374", "214537850", "buy", None, "2014-04-06T18:44:58.325Z"),
    ],
    ("yoochoose-clicks", "yoochoose/yoochoose-clicks.dat"): [
        ("1", "214536502", "click", None, "2014-04-07T10:51:09.277Z"),
        ("1", "214536500", "click", None, "2014-04-07T10:54:09.868Z"),
    ],
}
"""Format, file -> rows of user, item, event type, weight, time, as texts."""

TABLES = {
    ("amazon-items", "amazon/meta_Made.json.gz"): (
        "item_id title price brand description categories imUrl salesRank related",
        [
            (
                "0000MADE01",
                'Made "Title", it\'s new',
                "9.5",
                None,
                None,
                "Books|Science Fiction & Fantasy|Made",
                "http://example.org/1.jpg",
                '{"Books": 6334800}',
                '{"also_viewed": ["0000MADE02"]}',
            ),
            ("0000MADE02", None, None, "Mädé", "Two\nlines", "Books", None, None, None),
        ],
    ),
    ("amazon-items-2023", "amazon-2023/meta_Made.jsonl"): (
        "main_category title average_rating features price item_id details",
        [("All", "Made", "4.8", ["a", "b"], None, "B0MADEPRNT", {"Brand": "x"})],
    ),
    ("book-crossing-items", "book-crossing/BX-Books.csv"): (
        "item_id Book-Title Book-Author Year-Of-Publication",
        [
            ("034545104X", 'A "Made" Title; with marks', "É. Nobody &amp; Co", "2002"),
            ("0155061224", "Plain", "Somebody", "0"),
        ],
    ),
    ("book-crossing-users", "book-crossing/BX-Users.csv"): (
        "user_id Location Age",
        [("276725", "tyler, texas, usa", None), ("276726", "málaga, n/a, spain", "18")],
    ),
    ("hetrec-lastfm-items", "hetrec-lastfm/artists.dat"): (
        "item_id name url pictureURL",
        [
            ("51", 'The "Made" Band', "http://example.org/1", None),
            ("52", "Mötörmade", "http://example.org/2", "http://example.org/2.jpg"),
        ],
    ),
    ("lastfm-360k-users", "lastfm-360k/usersha1-profile.tsv"): (
        "user_id gender age country signup",
        [(SHA_1, "f", "22", "Germany", "Feb 1, 2007"), ("f" * 40, None, None, "Mexico", "Dec 31, 2008")],
    ),
    ("mind-items", "mind/news.tsv"): (
        "item_id category subcategory title abstract url title_entities abstract_entities",
        [
            ("N3", "sports", "soccer", 'A "made" title', None, "https://example.org/a", "[]", '[{"Label": "x"}]'),
            ("N4", "news", "world", "Other", "Abstract", "https://example.org/b", "[]", "[]"),
        ],
    ),
    ("movielens-100k-items", "ml-100k/u.item"): (
        "item_id title released video_released url genres",
        [
            ("1", "Made Story (1995)", "01-Jan-1995", None, "http://example.org/a?b", "Animation|Children's"),
            ("267", "unknown", None, None, None, "unknown"),
            ("2", "Déjà Made (1997)", "01-Jan-1997", None, None, "Drama"),
        ],
    ),
    ("movielens-100k-users", "ml-100k/u.user"): (
        "user_id age gender occupation zip",
        [("1", "24", "M", "technician", "85711"), ("2", "53", "F", "other", "T8H1N")],
    ),
    ("movielens-dat-items", "ml-1m/movies.dat"): (
        "item_id title genres",
        [
            ("661", "Café of Tests, The (1996)", "Animation|Children's|Musical"),
            ("1193", "No Title: A Part (1975)", "Drama"),
        ],
    ),
    ("movielens-dat-users", "ml-1m/users.dat"): (
        "user_id gender age occupation zip",
        [("1", "F", "1", "10", "48067"), ("2", "M", "56", "16", "70072-1234")],
    ),
    ("movielens-csv-items", "ml-20m/movies.csv"): (
        "item_id title genres",
        [("2", "Made, The (1995)", "Adventure|Children"), ("29", "Other (1995)", "(no genres listed)")],
    ),
    ("movielens-dat-items", "movietweetings/movies.dat"): (
        "item_id title genres",
        [("0000008", "Made Record of a Sneeze (1894)", "Documentary|Short"), ("0000010", "La invención (1895)", None)],
    ),
    ("netflix-items", "netflix/movie_titles.csv"): (
        "item_id year title",
        [("1", "2003", "Made Planet"), ("2", None, "Pokémade, Part 2, Again")],
    ),
    ("recbole-items", "recbole/made.item"): (
        "item_id movie_title release_year class",
        [("242", "Made Kolya", "1996", "Comedy"), ("302", "L.A. Made", "1997", "Crime|Film-Noir|Mystery")],
    ),
    ("recbole-users", "recbole/made.user"): ("user_id age gender", [("196", "49", "M"), ("186", "39", "F")]),
    ("retailrocket-items", "retailrocket/item_properties_part1.csv"): (
        "item_id available categoryid properties",
        [
            ("355908", "0", "1340", "283=66094 372274|790=n15360.000"),
            ("248676", None, None, "888=1116713 960601 n277.200"),
        ],
    ),
    ("yelp-items", "yelp/yelp_academic_dataset_business.json"): (
        "item_id name city stars attributes categories hours",
        [("XQfwVwDr-v0ZS3_CbbE5Xw", "Made Café", "X", "3.5", {"WiFi": "u'free'"}, "Food, Bars", None)],
    ),
}
"""Format, file -> columns, rows."""


def read(form, path, role):
    recognised = look_at(path, role=role)
    assert recognised.format is not None, f"{path} is not recognised"
    assert recognised.format.name == form
    reader = open_log(path, recognised.layout)
    blocks = [recognised.rows(block.rows) for block in reader if block.rows.height]
    assert reader.tally.rejected == 0
    return recognised, recognised.whole(pl.concat(blocks, how="diagonal_relaxed"))


@pytest.mark.parametrize(("form", "file"), LOGS)
def test_a_log_is_recognised_and_read(form, file):
    recognised, found = read(form, FILES / file, Role.LOG)
    names = {name: name for name in INTERACTION_COLUMNS if name in found.columns} | dict(recognised.mapping)
    rows = found.select(**{ours: pl.col(theirs) for ours, theirs in names.items()})
    absent = [pl.lit(None).alias(name) for name in INTERACTION_COLUMNS[:5] if name not in rows.columns]
    assert rows.with_columns(absent).select(INTERACTION_COLUMNS[:5]).rows() == LOGS[form, file]


@pytest.mark.parametrize(("form", "file"), TABLES)
def test_a_table_of_metadata_is_recognised_and_read(form, file):
    recognised, found = read(form, FILES / file, FORMATS[form].role)
    columns, rows = TABLES[form, file]
    table = found.rename({theirs: ours for ours, theirs in recognised.mapping})
    assert table.columns == columns.split()
    assert table.rows() == rows


def test_there_is_a_file_of_each_format_and_no_other():
    files = {str(path.relative_to(FILES)) for path in FILES.rglob("*") if path.is_file()} - {"README.md"}
    assert {file for _, file in (*LOGS, *TABLES)} | {"criteo/train.txt"} == files
    assert {form for form, _ in (*LOGS, *TABLES)} | {"criteo"} == set(FORMATS)


def test_a_file_without_user_and_item_is_named_with_its_columns():
    recognised = look_at(FILES / "criteo/train.txt")
    assert recognised.format is FORMATS["criteo"]
    reader = open_log(FILES / "criteo/train.txt", recognised.layout, ("label", "I2", "C1", "C2"))
    assert [block.rows.row(0) for block in reader if block.rows.height] == [("0", None, "68fd1e64", None)]
    assert reader.columns == ("label", *(f"I{n}" for n in range(1, 14)), *(f"C{n}" for n in range(1, 27)))


@pytest.mark.parametrize(("form", "file"), [*LOGS, *TABLES])
def test_every_recognition_says_what_was_taken(form, file):
    assert f"(--format {form})" in str(look_at(FILES / file, role=FORMATS[form].role))


def test_metadata_given_as_a_log_is_refused_by_name():
    with pytest.raises(DataError, match=r"movies.dat looks like MovieLens .*: give it as --items"):
        look_at(FILES / "ml-1m/movies.dat")


def test_a_few_damaged_lines_hide_no_format(tmp_path):
    lines = ["1::2::3::978300760"] * 20 + ["1::2"]
    (tmp_path / "x.dat").write_text("\n".join(lines) + "\n")
    assert look_at(tmp_path / "x.dat").format is FORMATS["movielens-dat"]


def test_the_format_that_is_named_overrules():
    assert look_at(FILES / "lightgcn/train.txt", Says(format="svmlight")).format is FORMATS["svmlight"]
    with pytest.raises(UnknownNameError, match="movielens"):
        Says(format="movielense")
    with pytest.raises(ConfigError, match="names no mark"):
        Says(separator="")
    with pytest.raises(ConfigError, match="leave out"):
        Says(format="libfm", separator=",")


def test_odd_lines_of_line_formats_are_rejected_and_every_line_is_accounted_for(tmp_path):
    lines = {
        "netflix": "7,3,2005-01-01\n1:\n8,5,2005-01-02\nnonsense\n",
        "libfm": "5 1:1 9:1\n5 1:1\n4 2:1 9:2\nx y\n",
        "svmlight": "1 3:1\n1 a\n0 4:2\n1 5:0.4.5\n1 6:.\n-1.5 7:+.5 8:1.e-1\n",
        "jester": "1,5,99\n2,5\n1,1,99\n",
        "mind": "1\tU1\t11/11/2019 9:05:58 AM\t\tN1-1\n2\tU1\n",
        "book-crossing": '"User-ID";"ISBN";"Book-Rating"\n"1";"2"\n"1";"2";"0"\n',
        "netflix-items": "1,2003,A\nB\n",
        "lightgcn": "1 2\n3\n",
    }
    rejected = {"netflix": [1, 4], "libfm": [2, 3, 4], "svmlight": [2, 4, 5], "jester": [2], "mind": [2],
                "book-crossing": [2], "netflix-items": [2], "lightgcn": []}  # fmt: skip
    for form, text in lines.items():
        path = tmp_path / "file"
        path.write_text(text)
        reader = open_log(path, look_at(path, Says(format=form)).layout)  # checks the account of every block
        assert [one.line for block in reader for one in block.rejected] == rejected[form], form


def test_a_quoted_header_after_a_block_of_blank_lines_is_the_header(tmp_path, monkeypatch):
    path = tmp_path / "file"
    path.write_text('\n\n"User-ID";"ISBN"\n"1";"2"\n')
    monkeypatch.setattr(streams, "PACKED", 1)
    monkeypatch.setattr(streams, "BLOCK", 1)
    log = open_log(path, look_at(path, Says(format="book-crossing")).layout)
    assert [row for block in log for row in block.rows.rows()] == [("1", "2")]
    assert (log.tally.structure, log.tally.blank, log.tally.lines) == (1, 2, 4)


def test_a_quoted_header_may_name_a_column_twice(tmp_path):
    path = tmp_path / "file"
    path.write_text('"User-ID";"ISBN";"ISBN"\n"1";"2";"3"\n')
    (block,) = open_log(path, look_at(path, Says(format="book-crossing")).layout)
    assert block.rows.rows(named=True) == [{"User-ID": "1", "ISBN": "2", "ISBN_duplicated_0": "3"}]


def test_a_format_that_a_file_is_not_of_is_an_error_that_names_its_columns(tmp_path):
    path = tmp_path / "file"
    path.write_text("user_id\titem_id\na\tb\n")
    for form in ("book-crossing", "hetrec"):
        recognised = look_at(path, Says(format=form))
        with pytest.raises(SchemaError, match=r"has not its columns\. Columns found: user_id"):
            [recognised.rows(block.rows) for block in open_log(path, recognised.layout)]


def test_columns_of_a_known_format_can_be_mapped_by_the_names_that_the_file_has():
    path = FILES / "hetrec-lastfm/user_artists.dat"
    said = ColumnMap.parse(["user_id=artistID", "item_id=userID"])  # the other way round than the format has it
    source = Source((path,), said).log(path)
    rows = pl.concat([block.rows for block in source.open() if block.rows.width])
    names = source.mapping.resolve(rows.columns, path.name)
    assert rows.select(names["user_id"], names["item_id"]).rows() == [("51", "2"), ("52", "2")]


def test_names_of_a_header_with_types_may_be_mapped_as_they_stand_there():
    path = FILES / "recbole/made.inter"
    said = ColumnMap.parse(["user_id=user_id:token", "item_id=item_id", "weight=rating:float"])
    mapping = dict(Source((path,), said).log(path).mapping.pairs)
    assert mapping == {"user_id": "user_id", "item_id": "item_id", "weight": "rating"}
