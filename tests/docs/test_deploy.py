"""The image and the compose file name settings, files and services that exist; no engine is needed to read them."""

import re
from pathlib import Path

import yaml
from sqlalchemy import make_url

from service.settings import Settings, read_settings

ROOT = Path(__file__).parents[2]
COMPOSE = yaml.safe_load((ROOT / "deploy" / "compose.yaml").read_text())
DOCKERFILE = (ROOT / "Dockerfile").read_text()


def test_every_variable_is_a_setting_and_its_value_is_taken() -> None:
    environment = COMPOSE["services"]["service"]["environment"]
    given = {name: str(value) for name, value in environment.items() if name.startswith("RECSYS_")}
    in_image = dict(re.findall(r"(RECSYS_[A-Z_]+)=(\S+)", DOCKERFILE))
    names = {name.removeprefix("RECSYS_").lower() for name in given | in_image} - {"home"}
    assert names <= set(Settings.model_fields)
    settings = read_settings(**{name.removeprefix("RECSYS_").lower(): value for name, value in given.items()})
    assert (settings.workers, settings.rate_limit, str(settings.keys_file)) == (2, "6000/minute", "/run/keys/entries")


def test_the_password_of_the_store_may_hold_any_character() -> None:
    """It is no part of an address; libpq, which psycopg connects with, reads it from the environment."""
    environment = COMPOSE["services"]["service"]["environment"]
    assert "PASSWORD" not in environment["RECSYS_STORE"]
    assert make_url(environment["RECSYS_STORE"]).get_driver_name() == "psycopg"
    assert "POSTGRES_PASSWORD" in environment["PGPASSWORD"]


def test_what_is_mounted_and_needed_is_there() -> None:
    services = COMPOSE["services"]
    keys = Path(services["service"]["environment"]["RECSYS_KEYS_FILE"])
    # The folder: a file mounted by itself stays as it was when an editor puts another in its place.
    assert f"./keys:{keys.parent}:ro" in services["service"]["volumes"]
    mounted = [volume.split(":")[0] for volume in services["prometheus"]["volumes"]]
    assert [path for path in mounted if not (ROOT / "deploy" / path).resolve().is_file()] == []
    assert set(services["service"]["depends_on"]) <= set(services)
    assert {name for service in services.values() for name in service.get("secrets", [])} == set(COMPOSE["secrets"])


def test_prometheus_asks_the_service_with_a_key_from_a_file() -> None:
    [job] = yaml.safe_load((ROOT / "docs" / "monitoring" / "prometheus.yml").read_text())["scrape_configs"]
    assert job["static_configs"][0]["targets"] == ["service:8000"]
    assert job["authorization"]["credentials_file"] == "/run/secrets/metrics_key"


def test_the_image_runs_as_nobody_in_particular_with_no_tools_to_build() -> None:
    final = DOCKERFILE.rpartition("FROM ")[2]
    assert re.search(r"^USER recsys$", final, re.MULTILINE)
    assert "HEALTHCHECK" in final
    assert not re.search(r"apt-get|pip install|gcc|g\+\+", final)
    copied = {
        path for line in re.findall(r"^COPY (?!--from)(.+)$", DOCKERFILE, re.MULTILINE) for path in line.split()[:-1]
    }
    assert [path for path in copied if not (ROOT / path).exists()] == []
    allowed = (ROOT / ".dockerignore").read_text().splitlines()
    assert [path for path in copied if f"!{path}" not in allowed] == []
