from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from recsys_vae.errors import ConfigError
from service.cli.keys import app
from service.security.api_keys import new_key, read_keys
from service.settings import Settings


def keys(*arguments: str, typed: str = "") -> Result:
    return CliRunner().invoke(app, arguments, input=typed)


def test_a_new_key_is_shown_once_and_its_entry_opens_the_service(tmp_path: Path) -> None:
    result = keys("new", "--name", "shop", "--scopes", "recommend,events", "--rate-limit", "5/second")
    assert result.exit_code == 0
    [key] = [word for word in result.stderr.split() if word.startswith("rsk_")]
    assert result.output.count(key) == 1
    (tmp_path / "keys").write_text(result.stdout)
    caller = read_keys(Settings(keys_file=tmp_path / "keys")).find(key.encode())
    assert caller is not None
    assert (caller.name, caller.scopes, caller.rate_limit) == ("shop", {"recommend", "events"}, "5/second")


def test_a_key_made_elsewhere_is_read_from_standard_input_and_not_shown() -> None:
    key = new_key()
    result = keys("hash", "--name", "shop", typed=f"{key}\n")
    assert result.exit_code == 0
    assert key not in result.output
    caller = read_keys(Settings(keys=result.stdout.strip())).find(key.encode())
    assert caller is not None
    assert caller.name == "shop"


@pytest.mark.parametrize(
    ("arguments", "typed"),
    [
        (("new", "--name", "a b"), ""),
        (("new", "--name", "shop", "--scopes", "everything"), ""),
        (("new", "--name", "shop", "--rate-limit", "often"), ""),
        (("hash", "--name", "shop"), "short\n"),
    ],
)
def test_what_cannot_be_a_key_is_an_error(arguments: tuple[str, ...], typed: str) -> None:
    assert isinstance(keys(*arguments, typed=typed).exception, ConfigError)
