"""Tokens of forms: what changes something is sent by a form of this service, in the session that it was shown in.

A page of another site may make a browser send a form here, cookie and all where the cookie is lax; it cannot read the
token that the form has to carry. Every router of pages asks for it, so no page has to remember to.
"""

from hmac import compare_digest
from typing import Final

from fastapi import HTTPException, Request

from service.security.same_origin import CHANGING
from service.ui.forms import form_of

FIELD: Final = "form_token"
REFUSED: Final = "This form is not of this session, or the session has ended. Open the page again and send it anew."


async def check_form_token(request: Request) -> None:
    """Go on only where a request changes nothing, or carries the token of its session.

    Raises:
        HTTPException: 403 otherwise.
    """
    if request.method in CHANGING:
        sent = (await form_of(request)).get(FIELD, "")
        check(sent, request.state.form_token)


def check(sent: str, expected: str) -> None:
    """Go on only with the token that is expected.

    Raises:
        HTTPException: 403 otherwise.
    """
    if not compare_digest(sent.encode(), expected.encode()):
        raise HTTPException(403, REFUSED)
