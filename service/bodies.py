"""Bodies: JSON that becomes its schema at once, from bytes.

FastAPI makes Python objects of a body, looks up every parameter of the route, and checks the objects against the
schema. Where a request does nothing but bring a body, that is a good part of what it costs to answer it. So pydantic
reads the bytes of a well-made one here; whatever is wrong with the others, FastAPI says.
"""

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute
from pydantic import BaseModel, ValidationError

from service.doors import NeedsScope
from service.schemas import VARIANT_HEADER

JSON = "application/json"


class BodyRoute(APIRoute):
    """A route whose endpoint takes `asked` (the schema of the body), `services`, `request_id`, and may take a variant.

    Its scope is looked at before the body is read. Where a header names a variant, FastAPI checks it.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """What answers a request: the endpoint at once, or FastAPI's way."""
        usual, scopes = super().get_route_handler(), self._scopes()
        schema: type[BaseModel] = self.endpoint.__annotations__["asked"]

        async def handle(request: Request) -> Response:
            for scope in scopes:
                await scope(request)
            if not _is_json(request) or VARIANT_HEADER in request.headers:
                return await usual(request)
            try:
                asked = schema.model_validate_json(await request.body())
            except ValidationError:
                return await usual(request)  # the request keeps the body that was read
            state = request.state
            response: Response = await self.endpoint(asked, state.services, state.request_id)
            return response

        return handle

    def _scopes(self) -> list[NeedsScope]:
        return [part.dependency for part in self.dependencies if isinstance(part.dependency, NeedsScope)]


def _is_json(request: Request) -> bool:
    kind: str = request.headers.get("content-type", "")
    return kind.partition(";")[0].strip().lower() == JSON
