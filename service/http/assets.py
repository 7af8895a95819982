"""Assets: files that pages are shown with, shipped with the package, at addresses that change with their content.

So a browser keeps them for good, and never shows a page with the style sheet of another version.
"""

from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Final

from fastapi import FastAPI, HTTPException
from fastapi.responses import Response

TYPES: Final = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
FOR_GOOD: Final = "public, max-age=31536000, immutable"


class Assets:
    """The files of folders, read when they are first asked for.

    Args:
        prefix: of their addresses.
        folders: where they are, each under a name of its own.
    """

    def __init__(self, prefix: str, *folders: Path) -> None:
        self._paths = {path.name: path for folder in folders for path in folder.iterdir() if path.suffix in TYPES}
        self._prefix = prefix
        self._read = cache(self._read_once)

    def address(self, name: str) -> str:
        """Of a file.

        Raises:
            KeyError: there is none of this name.
        """
        return f"{self._prefix}/{self._read(name)[0]}/{name}"

    def mount(self, app: FastAPI) -> None:
        """Have an application serve them, to anybody."""

        async def show_asset(digest: str, name: str) -> Response:
            if name not in self._paths or digest != self._read(name)[0]:
                raise HTTPException(404)
            headers = {"Cache-Control": FOR_GOOD}
            return Response(self._read(name)[1], headers=headers, media_type=TYPES[Path(name).suffix])

        app.add_api_route(f"{self._prefix}/{{digest}}/{{name}}", show_asset, include_in_schema=False)

    def _read_once(self, name: str) -> tuple[str, bytes]:
        content = self._paths[name].read_bytes()
        return sha256(content).hexdigest()[:16], content
