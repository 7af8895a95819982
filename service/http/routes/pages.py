"""GET /docs: the API as a page to try, under a policy that lets it run its own script and no other."""

import re
from base64 import b64encode
from hashlib import sha256

from fastapi import FastAPI
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import HTMLResponse

CDN = "https://cdn.jsdelivr.net"
ICON = "data:,"
INLINE_SCRIPT = re.compile(r"<script>(.*?)</script>", re.DOTALL)


def show_docs(app: FastAPI) -> None:
    """Add the page to an application that shows its OpenAPI document."""
    assert app.openapi_url is not None
    html = bytes(
        get_swagger_ui_html(openapi_url=app.openapi_url, title=app.title, swagger_favicon_url=ICON).body
    ).decode()
    headers = {"Content-Security-Policy": policy_of(html)}

    async def docs() -> HTMLResponse:
        return HTMLResponse(html, headers=headers)

    app.add_api_route("/docs", docs, include_in_schema=False, response_class=HTMLResponse)


def policy_of(html: str) -> str:
    """The Content-Security-Policy that fits the page: inline scripts by their hash, everything else by its source."""
    hashes = (b64encode(sha256(script.encode()).digest()).decode() for script in INLINE_SCRIPT.findall(html))
    scripts = " ".join(f"'sha256-{value}'" for value in hashes)
    return (
        f"default-src 'none'; script-src {CDN} {scripts}; style-src {CDN} 'unsafe-inline'; img-src 'self' data:; "
        "connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
    )
