import os
from hashlib import sha256
from pathlib import Path

import pytest

from recsys_vae.errors import ConfigError
from service.security import api_keys
from service.security.api_keys import KeyRing, WatchedKeys, entry_of, new_key, parse_entry, read_keys
from service.settings import Settings


def test_a_new_key_is_256_random_bits_and_its_entry_holds_only_a_hash() -> None:
    key = new_key()
    line = str(entry_of(key, "shop", ["events", "recommend"]))
    assert len(key) >= 43
    assert key != new_key()
    assert line == f"shop sha256:{sha256(key.encode()).hexdigest()} recommend,events"
    assert key not in repr(parse_entry(line, "here"))


def test_an_entry_reads_back_as_it_was_written() -> None:
    entry = entry_of(new_key(), "shop", ["users", "metrics"], "600/minute")
    again = parse_entry(str(entry), "here")
    assert again == entry
    assert (again.caller.scopes, again.caller.rate_limit) == ({"users", "metrics"}, "600/minute")


def test_a_ring_finds_who_holds_a_key_and_nobody_for_another() -> None:
    shop, app = new_key(), new_key()
    ring = KeyRing([entry_of(shop, "shop", ["recommend"]), entry_of(app, "app", ["events"])])
    assert [getattr(ring.find(key.encode()), "name", None) for key in (shop, app, new_key(), "")] == [
        "shop", "app", None, None,
    ]  # fmt: skip


def test_every_key_is_compared_with_every_entry_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    compared = []
    monkeypatch.setattr(api_keys, "compare_digest", lambda one, other: compared.append(one) or one == other)
    key = new_key()
    entries = [entry_of(key, "first", ["recommend"]), *(entry_of(new_key(), "x", ["recommend"]) for _ in range(3))]
    assert KeyRing(entries).find(key.encode()) == entries[0].caller
    assert compared == [entry.digest for entry in entries]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("shop", "has 1 words"),
        ("shop sha256:00 recommend", "no hash of a key"),
        (f"shop md5:{'0' * 64} recommend", "no hash of a key"),
        (f"shop sha256:{'0' * 64} recommend,evnts", "no scope 'evnts'"),
        (f"shop sha256:{'0' * 64} recommend often", "is no rate"),
        (f"a/b sha256:{'0' * 64} recommend", "a name has"),
    ],
)
def test_a_line_that_is_no_entry_is_named_by_its_place_and_not_shown(tmp_path: Path, line: str, words: str) -> None:
    path = tmp_path / "keys"
    path.write_text(f"# ours\n\n{line}\n")
    with pytest.raises(ConfigError, match=words) as caught:
        read_keys(Settings(keys_file=path))
    assert f"{path}, line 3" in str(caught.value)
    assert "0000" not in str(caught.value)


@pytest.mark.parametrize("key", ["", "secret", "x" * 31, "x" * 40 + " y", "ü" * 40])
def test_a_key_that_could_be_guessed_is_refused_and_not_shown(key: str) -> None:
    with pytest.raises(ConfigError, match="at least 32") as caught:
        entry_of(key, "shop", ["recommend"])
    assert not key or key not in str(caught.value)


def test_keys_that_are_to_be_asked_for_and_do_not_exist_are_an_error(tmp_path: Path) -> None:
    (tmp_path / "keys").write_text("# none yet\n")
    for settings in (Settings(keys=""), Settings(keys_file=tmp_path / "keys")):
        with pytest.raises(ConfigError, match="there are none"):
            read_keys(settings)
    with pytest.raises(ConfigError, match="cannot be read"):
        read_keys(Settings(keys_file=tmp_path / "nowhere"))


@pytest.fixture
def watched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, str, WatchedKeys]:
    """A file with one key, the key, and who watches the file, at every look."""
    for name in ("LOOK_AGAIN_SECONDS", "LOOK_SOON_SECONDS"):
        monkeypatch.setattr(api_keys, name, 0.0)
    key = new_key()
    (tmp_path / "keys").write_text(f"{entry_of(key, 'shop', ['recommend'])}\n")
    return tmp_path / "keys", key, WatchedKeys(Settings(keys_file=tmp_path / "keys"))


def test_a_key_is_exchanged_without_a_restart(watched: tuple[Path, str, WatchedKeys]) -> None:
    path, old, keys = watched
    new = new_key()
    assert keys.find(old.encode()) is not None
    path.write_text(str(entry_of(new, "new", ["recommend"])))
    assert keys.find(old.encode()) is None
    assert keys.find(new.encode()) is not None


@pytest.mark.parametrize("content", [None, b"", b"# none\n", b"broken", b"\xff\xfe"])
def test_a_file_without_the_line_opens_nothing_until_it_is_back(
    watched: tuple[Path, str, WatchedKeys], content: bytes | None
) -> None:
    path, key, keys = watched
    before = path.read_bytes()
    path.unlink() if content is None else path.write_bytes(content)
    assert keys.find(key.encode()) is None
    assert keys.are_asked_for
    path.write_bytes(before)
    assert keys.find(key.encode()) is not None


def test_a_broken_line_costs_no_other_its_key_and_is_told_once(
    watched: tuple[Path, str, WatchedKeys], caplog: pytest.LogCaptureFixture
) -> None:
    path, key, keys = watched
    path.write_text(path.read_text() + "shop2 sha256:oops recommend\n")
    assert [keys.find(key.encode()) is not None for _ in range(3)] == [True] * 3
    assert [record.message for record in caplog.records if "line 2" in record.message] == [
        f"{path}, line 2 (shop2): no hash of a key (sha256: and 64 hex digits). Expected {api_keys.EXPECTED}. "
        "It opens nothing."
    ]


def test_a_change_that_keeps_time_and_size_is_seen(watched: tuple[Path, str, WatchedKeys]) -> None:
    path, key, keys = watched
    told = path.stat()
    path.write_text(path.read_text().replace("sha256:", "sha257:"))
    os.utime(path, ns=(told.st_atime_ns, told.st_mtime_ns))
    assert keys.find(key.encode()) is None


def test_keys_in_the_settings_stay_whatever_becomes_of_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api_keys, "LOOK_AGAIN_SECONDS", 0.0)
    one, other, path = new_key(), new_key(), tmp_path / "keys"
    path.write_text(str(entry_of(one, "one", ["recommend"])))
    keys = WatchedKeys(Settings(keys_file=path, keys=str(entry_of(other, "other", ["recommend"]))))
    path.unlink()
    assert [keys.find(key.encode()) is None for key in (one, other)] == [True, False]
