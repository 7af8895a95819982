"""The bare FastAPI endpoint that the service is compared with: the same JSON, from memory, on the same server.

It reads no body, checks nothing and finds nothing: what is left is the price of FastAPI, uvicorn and json.dumps.
"""

import json
import sys
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI
from fastapi.responses import JSONResponse

from service.server import uvicorn_server


def create(content: Any) -> FastAPI:
    """An application that answers every recommendation request with `content`."""
    app = FastAPI()

    @app.post("/v1/recommendations")
    async def recommend() -> JSONResponse:
        return JSONResponse(content)

    return app


def main() -> None:
    """Serve the content of a file at any free port, and say where."""
    listener = uvicorn_server.listen("127.0.0.1", 0)
    print(uvicorn_server.address(listener), flush=True)
    app = create(json.loads(Path(sys.argv[1]).read_text()))
    uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False, server_header=False)).run([listener])


if __name__ == "__main__":
    main()
