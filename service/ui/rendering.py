"""Rendering: pages from templates. What is put into one is text, whatever it holds: escaping is never off."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from fastapi import Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment

from recsys_vae import __version__
from recsys_vae.pages.environment import STYLES, make_environment
from service.http.assets import Assets
from service.ranking.engine import Engine
from service.security.access import Access
from service.ui import navigation
from service.ui.courtesy import in_slices

FOLDER: Final = Path(__file__).parent
POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: https:; connect-src 'self'; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
HEADERS: Final = {
    "Content-Security-Policy": POLICY,
    "Referrer-Policy": "same-origin",  # with none at all, browsers would send no Origin with forms
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}
HTMX: Final = {
    "allowEval": False,
    "includeIndicatorStyles": False,
    "selfRequestsOnly": True,
    "historyCacheSize": 0,
    "refreshOnHistoryMiss": True,
    "scrollIntoViewOnBoost": False,
    "responseHandling": [{"code": "204", "swap": False}, {"code": ".*", "swap": True}],
}
"""Settings of htmx: nothing is evaluated, no style is inlined, nothing of a page is kept in the browser's storage."""

STATIC: Final = "/ui/static"
ASSETS: Final = Assets(STATIC, FOLDER / "static", STYLES)


def environment() -> Environment:
    """What makes pages of the templates."""
    made = make_environment(FOLDER / "templates")
    made.globals |= {
        "asset": ASSETS.address,
        "entries": navigation.ENTRIES,
        "is_current": navigation.is_current,
        "htmx": HTMX,
        "version": __version__,
    }
    return made


ENVIRONMENT: Final = environment()


class Page(HTMLResponse):
    """A page that is not made yet: a route returns it, and `routing` has it made.

    Args:
        template: of the page, a file in `templates/`.
        status: of the answer.
        context: what the template says.
    """

    def __init__(self, template: str, status: int, context: Mapping[str, Any]) -> None:
        super().__init__(b"", status, headers=HEADERS)
        self._parts = ENVIRONMENT.get_template(template).generate(context)

    async def make(self, engine: Engine) -> None:
        """Make it of its template, in slices."""
        self._is(await in_slices(engine, self._parts))

    def finish(self) -> None:
        """Make it of its template at once, where nothing is answered meanwhile."""
        self._is("".join(self._parts))

    def _is(self, text: str) -> None:
        # Names of files, and JSON, may hold halves of characters, which no page can.
        self.body = text.encode(errors="replace")
        self.headers["Content-Length"] = str(len(self.body))


def page(request: Request, template: str, status: int = 200, **context: Any) -> Page:
    """A page.

    Args:
        request: that is answered.
        template: of the page, a file in `templates/`.
        status: of the answer.
        context: what the template says besides `path`, `may(scope)`, `caller` and `form_token`.
    """
    state = request.scope["state"]
    access: Access | None = state.get("access")
    told = {
        "path": request.scope["path"],
        "may": access.opens if access is not None else _nothing,
        "caller": access.caller if access is not None else None,
        "form_token": state.get("form_token", ""),
    }
    return Page(template, status, told | context)


def _nothing(scope: str) -> bool:
    return False
