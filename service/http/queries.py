"""Queries of addresses: a parameter that a route does not know is refused, as an unknown field of a body is."""

from urllib.parse import parse_qsl

from fastapi import Request
from fastapi.exceptions import RequestValidationError


async def check_query(request: Request) -> None:
    """Go on only where the route knows every parameter of the query.

    Raises:
        RequestValidationError: it does not; the error names each.
    """
    query: bytes = request.scope["query_string"]
    if not query:
        return
    known = {field.alias for field in request.scope["route"].dependant.query_params}
    sent = dict.fromkeys(name for name, _ in parse_qsl(query.decode("latin-1"), keep_blank_values=True))
    faults = [
        {"type": "extra_forbidden", "loc": ("query", name), "msg": "Extra inputs are not permitted"}
        for name in sent
        if name not in known
    ]
    if faults:
        raise RequestValidationError(faults)
