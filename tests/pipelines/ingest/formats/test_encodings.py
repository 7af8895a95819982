import pytest

from pipelines.ingest.formats.encodings import encoding_of
from pipelines.ingest.formats.recognition import Says, look_at


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"plain\n", "utf-8"),
        ("Café\nnaïve\n".encode(), "utf-8"),
        ("Café\n“quoted” … 5 €\n".encode("cp1252"), "cp1252"),
        ("Café".encode("latin-1"), "cp1252"),
        ("Café\n".encode() + "Café\n".encode("latin-1"), "utf-8"),  # one bad line of a file in UTF-8
        (b"a\xff\n", "utf-8"),  # a byte that no text has
        (b"a\x81\n", "utf-8"),
        (b"\xff\xfea\x00", "utf-8"),  # a byte-order mark says what the file is
        (b"\xef\xbb\xbfCaf\xe9\n", "utf-8"),
    ],
)
def test_bytes_that_are_no_utf8_are_windows_1252_where_all_of_them_are_letters(data, expected):
    assert encoding_of(data) == expected


def test_what_the_user_says_of_the_encoding_rules(tmp_path):
    path = tmp_path / "log.csv"
    path.write_bytes("user_id,item_id\nann,Café\n".encode("cp1250"))
    assert look_at(path).layout.encoding == "cp1252"
    assert look_at(path, Says(encoding="cp1250")).layout.encoding == "cp1250"
