"""Same origin: a page of another site must not change anything here, whatever a browser lets it send.

Browsers say where a request comes from (`Sec-Fetch-Site`, or `Origin` where they are older); programs say neither. A
page may send forms and plain text anywhere without asking, so a body is declared as JSON, which it may not send so.
Pages for people send forms, and nothing else; each carries a token that a page of another site cannot know.
"""

from collections.abc import Iterable
from typing import Final
from urllib.parse import urlsplit

from fastapi.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Send
from starlette.types import Scope as AsgiScope

from service.observability.metrics import Metrics
from service.problems import problem
from service.security.sessions import is_page

CHANGING: Final = frozenset({"POST", "PUT", "PATCH", "DELETE"})
OWN: Final = frozenset({b"same-origin", b"none"})
"""Of Sec-Fetch-Site: a page of this service, and a person at the address bar."""
JSON: Final = b"application/json"
FORM: Final = b"application/x-www-form-urlencoded"
ELSEWHERE = (
    "This request comes from a page of another site (its headers Sec-Fetch-Site and Origin say so), and such a page "
    "may not change anything here. An operator lets an origin in by RECSYS_CORS_ORIGINS."
)
NOT_A_FORM = "The body is not declared as a form. Send it as application/x-www-form-urlencoded."
NOT_JSON = "The body is not declared as JSON. Send it with the header Content-Type: application/json."


class SameOrigin:
    """Refuses what may change something if a page of another site sends it, or if its body is not declared as what
    the address takes: JSON, or a form where it is a page.

    Args:
        app: what is behind.
        origins: of other sites whose pages may call the API; `*`: of all. Pages for people take nothing of theirs.
        metrics: told of what is refused.
    """

    def __init__(self, app: ASGIApp, origins: Iterable[str], metrics: Metrics) -> None:
        self._app = app
        self._origins = frozenset(origin.encode() for origin in origins)
        self._metrics = metrics

    async def __call__(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] == "http" and scope["method"] in CHANGING:
            sent = dict(scope["headers"])
            if not self._is_ours(sent, frozenset() if is_page(scope["path"]) else self._origins):
                await self._refuse(scope, 403, "cross-site", ELSEWHERE)(scope, receive, send)
                return
            if is_page(scope["path"]):
                if has_body(sent) and not is_form(sent.get(b"content-type", b"")):
                    await self._refuse(scope, 415, "not-a-form", NOT_A_FORM)(scope, receive, send)
                    return
            elif sent.get(b"content-type") != JSON and not is_json(sent.get(b"content-type", b"")) and has_body(sent):
                await self._refuse(scope, 415, "not-json", NOT_JSON)(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _is_ours(self, sent: dict[bytes, bytes], origins: frozenset[bytes]) -> bool:
        site, origin = sent.get(b"sec-fetch-site"), sent.get(b"origin")
        if (site is None and origin is None) or site in OWN:
            return True
        if origin in origins or b"*" in origins:
            return True
        return site is None and origin is not None and _place(origin) == sent.get(b"host", b"").lower()

    def _refuse(self, scope: AsgiScope, status: int, code: str, detail: str) -> JSONResponse:
        record = scope["state"]["record"]
        record.refusal = code
        self._metrics.count_refusal(code)
        return problem(status, code, detail, record.request_id)


def is_json(content_type: bytes) -> bool:
    """Whether a header Content-Type declares JSON: `application/json`, or a kind of it as `application/geo+json` is."""
    kind, _, name = content_type.partition(b";")[0].strip().lower().partition(b"/")
    return kind == b"application" and (name == b"json" or name.endswith(b"+json"))


def is_form(content_type: bytes) -> bool:
    """Whether a header Content-Type declares a form, as browsers send it from an address to an address."""
    return content_type.partition(b";")[0].strip().lower() == FORM


def has_body(sent: dict[bytes, bytes]) -> bool:
    """Whether headers announce a body that is not empty."""
    return b"transfer-encoding" in sent or sent.get(b"content-length", b"0").strip(b"0") != b""


def _place(origin: bytes) -> bytes:
    """Host and port of an origin; nothing for `null`."""
    try:
        return urlsplit(origin.decode("ascii")).netloc.lower().encode()
    except ValueError:
        return b""
