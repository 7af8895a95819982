"""Exposure: who can reach the service, and whether that is safe. What is not safe does not start."""

from ipaddress import ip_address
from socket import SOCK_STREAM, getaddrinfo

from recsys_vae.errors import ConfigError, UnavailableError
from service.security.api_keys import has_keys, read_keys
from service.security.rate_limits import check_limits
from service.settings import Settings

LOOPBACK_NAMES = ("localhost", "127.0.0.1", "[::1]")


def made_safe(settings: Settings) -> Settings:
    """The settings, with what follows from asking nobody for a key: only this machine is answered, by its own names.

    Raises:
        ConfigError: the rate limit or its Redis is malformed; others, or pages of all sites, could reach a service that
            asks for no key; several workers would count requests apart.
        UnavailableError: the host has no address.
    """
    check_limits(settings.rate_limit, settings.rate_limit_store)
    is_limited = read_keys(settings).has_limits or settings.rate_limit is not None
    if settings.workers > 1 and is_limited and settings.rate_limit_store is None:
        raise ConfigError(
            f"{settings.workers} workers would each count requests apart, so that a key could send that many times its "
            "limit. Name a Redis where they count together (--rate-limit-store redis://HOST), or start one worker."
        )
    if settings.ui_process and is_limited and settings.rate_limit_store is None:
        raise ConfigError(
            "The process of the pages would count requests apart, so that a key could send twice its limit. Name a "
            "Redis where they count together (--rate-limit-store redis://HOST), or leave the pages to the worker "
            "(--no-ui-process)."
        )
    if has_keys(settings):
        return settings
    if "*" in settings.cors_origins:
        raise ConfigError(
            "RECSYS_CORS_ORIGINS lets pages of every site in, and nobody is asked for a key: any page that is open "
            "in a browser on this machine could change what is in service. Name the origins, or ask for keys "
            "(--keys-file)."
        )
    if not is_loopback(settings.host):
        raise ConfigError(
            f"Other machines could reach {settings.host}, and nobody would be asked for a key. Make one with "
            "`recsys keys new --name NAME --scopes recommend,events` and name the file of its entry (--keys-file, "
            "RECSYS_KEYS_FILE), or listen at 127.0.0.1."
        )
    return settings if settings.hosts else settings.model_copy(update={"hosts": LOOPBACK_NAMES})


def is_loopback(host: str) -> bool:
    """Whether a host's addresses can be reached from this machine only.

    Raises:
        UnavailableError: it has none.
    """
    try:
        found = getaddrinfo(host, None, type=SOCK_STREAM)
    except OSError as error:
        raise UnavailableError(f"The host {host!r} has no address here. Name one of this machine's.") from error
    return bool(host) and all(ip_address(str(place[0]).partition("%")[0]).is_loopback for *_, place in found)
