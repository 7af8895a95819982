"""What a campaign asks for each user: the body of `POST /v1/recommendations`, without whom it is about."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from recsys_vae.errors import ConfigError, DataError, fault_text
from service.schemas.recommendations import RecommendationRequest

OF_ONE_USER = ("user_id", "history", "metadata", "cursor")
"""Fields that say whom a request is about; a campaign finds them in the dataset, or in the store."""


def read_request(
    path: Path | None, *, k: int | None = None, at_most: Sequence[str] = (), repeat: str | None = None
) -> RecommendationRequest:
    """The request, from a file and from options, each of which says what the file does not.

    Raises:
        ConfigError: an option is written in another way, or says what the file says too.
        DataError: the file is not such a request; every field that breaks its contract is named.
    """
    body = {} if path is None else _body(path)
    if "seen" in body:  # the older name
        body["repeat"] = body.get("repeat", body["seen"])
    options: dict[str, Any] = {
        "k": k,
        "at_most": [_cap(text) for text in at_most] or None,
        "repeat": repeat,
    }
    given = {name: value for name, value in options.items() if value is not None}
    if twice := sorted(given.keys() & body.keys()):
        raise ConfigError(f"{path} says {', '.join(twice)}, and so do options of this command. Leave one of them out.")
    try:
        return RecommendationRequest.model_validate(body | given)
    except ValidationError as error:
        raise DataError(f"{path or 'The request'} cannot be asked: {_faults(error)}") from error


def _body(path: Path) -> dict[str, Any]:
    try:
        body = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise DataError(f"{path} holds no request in JSON: {error}") from error
    if not isinstance(body, dict):
        raise DataError(f"{path} holds no request: expected a JSON object, as POST /v1/recommendations takes it.")
    if foreign := [name for name in (*OF_ONE_USER, "explain") if name in body]:
        raise DataError(
            f"{path} names {', '.join(foreign)}: a campaign's users, their histories and metadata come from the "
            "dataset or the store, and its lists have no pages and no explanations. Leave it out."
        )
    return body


def _cap(text: str) -> dict[str, Any]:
    number, _, column = text.partition(":")
    if not number.isdecimal() or not column:
        raise ConfigError(f"--at-most {text!r} is not understood. Write N:COLUMN, as in 3:brand.")
    return {"column": column, "n": int(number)}


def _faults(error: ValidationError) -> str:
    faults = (f"body.{'.'.join(map(str, fault['loc']))}: {fault_text(fault)}" for fault in error.errors())
    return "; ".join(faults)
