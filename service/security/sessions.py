"""Sessions: a browser that has shown a key, for twelve hours, as a signed token in a cookie.

    token = base64url(digest of the key, 32 bytes | nonce, 16 | expiry, 8, in s since 1970 | HMAC-SHA256 of these, 32)

The token names the key by its digest and never holds it, so it opens nothing once the key's line is gone. One without a
key opens nothing at all; its nonce is what the tokens of forms are bound to where nobody is asked for a key.
"""

import hmac
import logging
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from http.cookies import CookieError, SimpleCookie
from secrets import token_bytes, token_urlsafe
from time import time
from typing import TYPE_CHECKING, Final

from starlette.types import Scope

from recsys_vae.errors import UnavailableError
from service.security.api_keys import has_keys, read_keys
from service.settings import Settings

if TYPE_CHECKING:  # who supervises opens no store
    from service.store.logins import LoginTable

COOKIE: Final = "recsys_session"
LOGIN_COOKIE: Final = "recsys_login"
"""Of the session that a login form is bound to: apart, so that the form never takes the place of a session."""
SECONDS: Final = 12 * 3600
NO_KEY: Final = bytes(32)
DIGEST, NONCE, SIGNED, WHOLE = 32, 48, 56, 88
"""Where each part of a token ends."""
LENGTH: Final = 120
"""Of a token in characters; Python decodes longer ones without a word."""
UI: Final = "/ui"

logger = logging.getLogger("recsys.service")


@dataclass(frozen=True)
class Session:
    """One of them.

    Attributes:
        digest: SHA-256 of the key that was shown; `NO_KEY` for none.
        nonce: 16 random bytes.
        expiry: in seconds since 1970.
    """

    digest: bytes
    nonce: bytes
    expiry: int

    @property
    def signed(self) -> bytes:
        """What the signature covers."""
        return self.digest + self.nonce + self.expiry.to_bytes(8)


class Sessions:
    """Begins sessions, reads them, and ends them.

    Args:
        secret: what signs them, the same in all processes that are to know them.
        always_secure: whether cookies are only ever sent by https; else where the request came so.
        clock: in seconds since 1970.
    """

    def __init__(self, secret: str, *, always_secure: bool = False, clock: Callable[[], float] = time) -> None:
        self._secret = secret.encode()
        self._always_secure = always_secure
        self._clock = clock
        self._ended: dict[bytes, int] = {}

    def begin(self, digest: bytes = NO_KEY) -> Session:
        """A new one, of whoever has shown the key with this digest."""
        return Session(digest, token_bytes(16), int(self._clock()) + SECONDS)

    def token(self, session: Session) -> str:
        """What the cookie holds."""
        return urlsafe_b64encode(session.signed + self._mac(b"session", session.signed)).decode()

    def of(self, scope: Scope, cookie: str = COOKIE) -> Session | None:
        """The session of a request; None where it has none that holds."""
        tokens = cookies(scope, cookie)
        return self.read(tokens[0]) if len(tokens) == 1 else None

    def read(self, token: str) -> Session | None:
        """The session of a token; None where it is not signed here, has expired or was ended."""
        try:
            held = urlsafe_b64decode(token.encode("ascii"))
        except ValueError:
            return None
        is_whole = len(token) == LENGTH and len(held) == WHOLE
        if not is_whole or not hmac.compare_digest(held[SIGNED:], self._mac(b"session", held[:SIGNED])):
            return None
        session = Session(held[:DIGEST], held[DIGEST:NONCE], int.from_bytes(held[NONCE:SIGNED]))
        return session if session.expiry > self._clock() and session.nonce not in self._ended else None

    def end(self, session: Session, logins: "LoginTable") -> None:
        """Have a session open nothing more, in any process that shares the store; in this one alone where that does
        not answer.
        """  # fmt: skip
        self._forget(session)
        try:
            logins.end(session.nonce, session.expiry, int(self._clock()))
        except UnavailableError as error:
            logger.warning("A session was ended in this process alone: %s", error)

    def has_ended(self, session: Session, logins: "LoginTable") -> bool:
        """Whether another process has ended a session; where the store does not answer, nobody knows of any."""
        try:
            is_over = logins.has_ended(session.nonce)
        except UnavailableError:
            return False
        if is_over:
            self._forget(session)
        return is_over

    def _forget(self, session: Session) -> None:
        now = self._clock()
        self._ended = {nonce: expiry for nonce, expiry in self._ended.items() if expiry > now}
        self._ended[session.nonce] = session.expiry

    def form_token(self, session: Session) -> str:
        """What a form of this session carries; a page of another site cannot know it."""
        return self._mac(b"form", session.nonce).hex()

    def cookie(self, scope: Scope, session: Session, name: str = COOKIE) -> tuple[bytes, bytes]:
        """The header that sets it."""
        return self._header(scope, name, self.token(session), SECONDS)

    def no_cookie(self, scope: Scope, name: str = COOKIE) -> tuple[bytes, bytes]:
        """The header that removes it."""
        return self._header(scope, name, "", 0)

    def _header(self, scope: Scope, name: str, value: str, seconds: int) -> tuple[bytes, bytes]:
        secure = "; Secure" if self._always_secure or scope.get("scheme") == "https" else ""
        text = f"{name}={value}; Max-Age={seconds}; Path={UI}; HttpOnly; SameSite=Strict{secure}"
        return b"set-cookie", text.encode()

    def _mac(self, purpose: bytes, message: bytes) -> bytes:
        return hmac.new(self._secret, purpose + b"\0" + message, sha256).digest()


def cookies(scope: Scope, name: str) -> list[str]:
    """Values of the cookies of a name that a request sends."""
    found: list[str] = []
    for header, value in scope["headers"]:
        if header == b"cookie":
            jar: SimpleCookie = SimpleCookie()
            try:
                jar.load(value.decode("latin-1"))
            except CookieError:
                continue
            found += [jar[name].value] if name in jar else []
    return found


def has_pages(settings: Settings) -> bool:
    """Whether there are pages that sessions open: as set, else where a key has the scope, or nobody needs one."""
    if settings.ui is not None:
        return settings.ui
    return not has_keys(settings) or read_keys(settings).opens("ui")


def has_pages_apart(settings: Settings) -> bool:
    """Whether pages are made by a process of their own: as set, else with keys or several workers.

    Who has no Redis for rate limits has them counted in one process, which then makes the pages, too.
    """
    if not has_pages(settings) or settings.ui_process is not None:
        return has_pages(settings) and bool(settings.ui_process)
    is_counted_here = settings.rate_limit_store is None and (
        settings.rate_limit is not None or read_keys(settings).has_limits
    )
    return (has_keys(settings) or settings.workers > 1) and not is_counted_here


def with_secret(settings: Settings) -> Settings:
    """The settings with a secret of this start, where they name none: all workers sign alike."""
    return settings if settings.ui_secret else settings.model_copy(update={"ui_secret": token_urlsafe(32)})


def is_page(path: str) -> bool:
    """Whether an address is one of the pages for people."""
    return path == UI or path.startswith(f"{UI}/")
