import pytest
import typer
from typer.testing import CliRunner

from service.cli.settings_options import takes_settings
from service.settings import Settings, read_settings


def make() -> tuple[typer.Typer, dict[str, object]]:
    """A command that takes settings, and what it got."""
    taken: dict[str, object] = {}

    @takes_settings
    def serve(**chosen: object) -> None:
        """Serve."""
        taken.update(chosen)

    app = typer.Typer()
    app.command()(serve)
    return app, taken


def run(*arguments: str) -> dict[str, object]:
    """What a command that takes settings gets."""
    app, taken = make()
    assert CliRunner().invoke(app, arguments, catch_exceptions=False).exit_code == 0
    return taken


@pytest.mark.parametrize("name", [name for name in Settings.model_fields if name != "bundle"])
def test_every_setting_is_a_flag_that_tells_its_variable(name: str) -> None:
    [flag] = [flag for flag in typer.main.get_command(make()[0]).params if flag.name == name]
    assert f"--{name.replace('_', '-')}" in flag.opts
    assert f"(RECSYS_{name.upper()})" in flag.help


def test_every_flag_reaches_the_settings() -> None:
    sample = {"host": "::1", "port": "9", "docs": None, "access_log": None, "log_format": "json", "hosts": "a, b"}
    flags = [part for name, value in sample.items() for part in (f"--{name.replace('_', '-')}", value) if part]
    taken = run("here", *flags, "--body-seconds", "2.5", "--keys-file", "k")
    settings = read_settings(**taken)
    assert (str(settings.bundle), settings.host, settings.port, settings.docs) == ("here", "::1", 9, True)
    assert (settings.hosts, settings.body_seconds, str(settings.keys_file)) == (("a", "b"), 2.5, "k")


def test_a_variant_is_a_flag_of_its_own() -> None:
    taken = run("--variant", "a=90:x", "--variant", "b=10:y", "--follow")
    settings = read_settings(**taken)
    assert [source.name for source in settings.sources] == ["a", "b"]
    assert settings.follow


def test_a_flag_that_is_not_given_leaves_the_environment_its_say(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECSYS_ACCESS_LOG", "false")
    monkeypatch.setenv("RECSYS_CORS_ORIGINS", "https://a.example,https://b.example")
    taken = run()
    assert set(taken.values()) == {None}
    settings = read_settings(**taken)
    assert (settings.access_log, settings.cors_origins) == (False, ("https://a.example", "https://b.example"))
    assert read_settings(**run("--access-log")).access_log
