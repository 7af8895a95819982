import pytest

from pipelines.ingest.formats.recognition import Says, look_at
from pipelines.ingest.readers import Kind
from pipelines.ingest.readers.layout import BLANKS
from recsys_vae.errors import ConfigError, DataError


def layout(tmp_path, text, says=None, *, name="log.csv", names=()):
    path = tmp_path / name
    path.write_text(text)
    return look_at(path, says, names=names).layout


@pytest.mark.parametrize(
    ("name", "separator"),
    [("log.csv", ";"), ("log.csv", "|"), ("log.csv", "\t"), ("log.csv", ","), ("log.dat", "::"), ("log.tsv", "\t")],
)
def test_the_separator_is_the_one_that_cuts_all_lines_alike(tmp_path, name, separator):
    text = f"user_id{separator}item_id{separator}title\nann{separator}tea{separator}Tea, black; hot\n" * 2
    assert layout(tmp_path, text, name=name).separator == separator


def test_separators_have_names(tmp_path):
    for said, separator in {"tab": "\t", "\\t": "\t", "::": "::", ";": ";", "blank": BLANKS, "space": " "}.items():
        mark = "  " if separator == BLANKS else separator
        assert layout(tmp_path, f"user_id{mark}item_id\na{mark}b\n", Says(separator=said)).separator == separator


@pytest.mark.parametrize(
    "text",
    ["196,tea,3\n186,pie,3\n", "ann,tea,2024-01-31\n", "ann,tea\nbob,tea\n", "ann,tea,1.5\n", "u1,i1,1/2/2024\n"],
)
def test_a_file_without_a_header_is_not_robbed_of_its_first_row(tmp_path, text):
    for says in (None, Says(separator=",")):
        with pytest.raises(ConfigError, match=r"log.csv seems to have no header: its first line is .* --columns"):
            layout(tmp_path, text, says, names=["196"])
    width = text.split("\n")[0].count(",") + 1
    said = Says(columns=("user_id", "item_id", "weight")[:width])
    found = layout(tmp_path, text, said)
    assert not found.header
    assert found.columns == said.columns
    assert layout(tmp_path, text, Says(header=True)).header


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("user_id,item_id\nann,tea\n", ()),
        (",user_id,item_id\n0,ann,tea\n", ()),
        ("customer,product\nann,tea\n", ()),
        ("customer,2023\nann,7\n", ("customer",)),
        ("who,what\nwho,tea\n", ("who",)),
    ],
)
def test_a_header_is_one(tmp_path, text, names):
    assert layout(tmp_path, text, names=names).header


def test_named_columns_take_the_place_of_a_header_that_is_there(tmp_path):
    found = layout(tmp_path, "customer,product,note\nann,tea,x\n", Says(columns=("user_id", "item_id", "-")))
    assert found.header
    assert found.columns == ("user_id", "item_id", "column 3")
    found = layout(tmp_path, "customer,product\nann,tea\n", Says(columns=("user_id", "item_id"), header=False))
    assert not found.header


def test_another_number_of_columns_than_named_is_an_error(tmp_path):
    with pytest.raises(ConfigError, match=r"names 2, and the first line of log.csv has 3: '1,2,3'"):
        layout(tmp_path, "1,2,3\n", Says(columns=("user_id", "item_id")))


def test_json_is_known_by_its_first_character_whatever_the_ending(tmp_path):
    assert layout(tmp_path, '{"user_id": 1}\n', name="log.txt").kind is Kind.JSON_LINES
    assert layout(tmp_path, '\n[{"user_id": 1}]\n', name="log.json").kind is Kind.JSON_ARRAY


def test_archives_are_named(tmp_path):
    path = tmp_path / "log.csv"
    path.write_bytes(b"PK\x03\x04rest")
    with pytest.raises(DataError, match="unpack it"):
        look_at(path)
