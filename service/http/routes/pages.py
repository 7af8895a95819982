"""GET /docs: the API as a page to try, with Swagger UI as it is shipped, under a policy that loads nothing else."""

from pathlib import Path
from typing import Final

from fastapi import FastAPI
from fastapi.responses import HTMLResponse

from service.http.assets import Assets

FOLDER: Final = Path(__file__).parents[1] / "swagger_ui"
POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
)
PAGE: Final = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="{style}">
</head>
<body>
<div id="swagger-ui" data-document="{document}"></div>
<script src="{bundle}"></script>
<script src="{script}"></script>
</body>
</html>
"""


def show_docs(app: FastAPI) -> None:
    """Add the page to an application that shows its OpenAPI document."""
    assets = Assets("/docs/assets", FOLDER)
    html = PAGE.format(
        title=app.title,
        document=app.openapi_url,
        style=assets.address("swagger-ui.css"),
        bundle=assets.address("swagger-ui-bundle.js"),
        script=assets.address("docs.js"),
    )

    async def docs() -> HTMLResponse:
        return HTMLResponse(html, headers={"Content-Security-Policy": POLICY})

    app.add_api_route("/docs", docs, include_in_schema=False, response_class=HTMLResponse)
    assets.mount(app)
