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


def test_a_key_is_revoked_without_a_restart_and_a_broken_file_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api_keys, "LOOK_AGAIN_SECONDS", 0.0)
    path, old, new = tmp_path / "keys", new_key(), new_key()
    path.write_text(str(entry_of(old, "old", ["recommend"])))
    keys = WatchedKeys(Settings(keys_file=path))
    assert keys.find(old.encode()) is not None
    write_later(path, str(entry_of(new, "new", ["recommend"])), 1)
    assert keys.find(old.encode()) is None
    assert keys.find(new.encode()) is not None
    write_later(path, "broken", 2)
    assert keys.find(new.encode()) is not None


def write_later(path: Path, text: str, seconds: int) -> None:
    path.write_text(text)
    later = path.stat().st_mtime + seconds
    os.utime(path, (later, later))
