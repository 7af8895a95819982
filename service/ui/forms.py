"""Forms: what a page's form sends, as text by name."""

from typing import Final
from urllib.parse import parse_qsl

from fastapi import HTTPException, Request
from starlette.datastructures import ImmutableMultiDict

MOST_FIELDS: Final = 2000


async def form_of(request: Request) -> ImmutableMultiDict[str, str]:
    """The fields of a request's form; empty without a body.

    Raises:
        HTTPException: 400, it is no form, or has more fields than a page asks for.
    """
    try:
        text = (await request.body()).decode()
        pairs = parse_qsl(text, keep_blank_values=True, max_num_fields=MOST_FIELDS, errors="strict")
    except ValueError:
        raise HTTPException(400, "The form could not be read: it is no UTF-8, or has too many fields.") from None
    return ImmutableMultiDict(pairs)
