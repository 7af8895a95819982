import pytest

from pipelines.checks.limits import CHECKS, Limits, write_limits
from recsys_vae.errors import ConfigError, UnknownNameError


def test_the_file_that_is_written_holds_the_usual_limits(tmp_path):
    path = tmp_path / "limits.toml"
    write_limits(path)
    assert Limits.read(path) == Limits()
    assert all(about in path.read_text() for about, _ in CHECKS.values())
    write_limits(path)
    path.write_text("mine = 1")
    with pytest.raises(ConfigError, match="left as it is"):
        write_limits(path)


def test_a_file_changes_what_it_names(tmp_path):
    path = tmp_path / "limits.toml"
    path.write_text("[gaps]\nwarn = 3\n[quarantined]\nstop = false\n")
    by_check = Limits.read(path).by_check
    assert (by_check["gaps"].warn, by_check["gaps"].stop) == (3.0, 7)
    assert (by_check["quarantined"].warn, by_check["quarantined"].stop) == (0.01, None)


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("[gap]\nwarn = 1", UnknownNameError, "Did you mean 'gaps'"),
        ("[gaps]\nwarns = 1", UnknownNameError, "Did you mean 'warn'"),
        ("gaps = 1", ConfigError, r"expected \[gaps\] with warn and stop"),
        ("[gaps]\nwarn = '1'", ConfigError, "expected a number, or false"),
        ("[gaps]\nwarn = true", ConfigError, "expected a number, or false"),
        ("[gaps]\nwarn = 9", ConfigError, "stops at 7, before it warns at 9"),
        ("[gaps", ConfigError, "cannot be read"),
    ],
)
def test_what_is_wrong_with_a_file_is_said(tmp_path, text, error, message):
    path = tmp_path / "limits.toml"
    path.write_text(text)
    with pytest.raises(error, match=message):
        Limits.read(path)
