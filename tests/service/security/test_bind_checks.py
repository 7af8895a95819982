from pathlib import Path

import pytest

from recsys_vae.errors import ConfigError, UnavailableError
from service.security.api_keys import entry_of, new_key
from service.security.bind_checks import LOOPBACK_NAMES, made_safe
from service.settings import Settings

KEYS = str(entry_of(new_key(), "shop", ["recommend"]))


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1"])
def test_without_keys_no_other_machine_can_reach_it(host: str) -> None:
    with pytest.raises(ConfigError, match="recsys keys new"):
        made_safe(Settings(host=host))
    assert made_safe(Settings(host=host, keys=KEYS)).host == host


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost", "127.0.0.9"])
def test_without_keys_this_machine_is_answered_by_its_own_names_only(host: str) -> None:
    assert made_safe(Settings(host=host)).hosts == LOOPBACK_NAMES
    assert made_safe(Settings(host=host, hosts="shop.example")).hosts == ("shop.example",)
    assert made_safe(Settings(host=host, keys=KEYS)).hosts == ()


def test_keys_that_cannot_be_read_stop_the_start(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        made_safe(Settings(keys_file=tmp_path / "nowhere"))


def test_a_rate_that_is_none_and_a_redis_that_is_none_stop_the_start() -> None:
    with pytest.raises(ConfigError, match="'abc' is no rate"):
        made_safe(Settings(rate_limit="abc"))
    with pytest.raises(ConfigError, match="no URL of Redis"):
        made_safe(Settings(rate_limit_store="http://host"))


def test_workers_do_not_count_requests_apart() -> None:
    with pytest.raises(ConfigError, match="--rate-limit-store"):
        made_safe(Settings(workers=2, rate_limit="10/second"))
    with pytest.raises(ConfigError, match="--rate-limit-store"):
        made_safe(Settings(workers=2, keys=f"{KEYS} 10/second"))
    assert made_safe(Settings(workers=2, rate_limit="10/second", rate_limit_store="redis://localhost")).workers == 2
    assert made_safe(Settings(workers=1, rate_limit="10/second")).rate_limit == "10/second"


def test_a_host_without_an_address_is_one_error() -> None:
    for host in ("no-such-host.invalid", ""):
        with pytest.raises(UnavailableError, match="has no address"):
            made_safe(Settings(host=host))
