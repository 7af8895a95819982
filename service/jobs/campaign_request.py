"""What a campaign asks for each user: the body of `POST /v1/recommendations`, without whom it is about."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import polars as pl
from pydantic import ValidationError

from recsys_vae.data.signal_rules import Repeat
from recsys_vae.errors import ConfigError, DataError, fault_text
from recsys_vae.reranking.rules import LONG_TAIL, NEW, NO_RULES, Quota, Rules
from service.ranking.item_columns import Value, element_type
from service.schemas.recommendations import RecommendationRequest

OF_ONE_USER = ("user_id", "history", "metadata", "cursor")
"""Fields that say whom a request is about; a campaign finds them in the dataset, or in the store."""


def read_request(
    path: Path | None,
    types: Mapping[str, pl.DataType],
    *,
    k: int | None = None,
    rules: Rules = NO_RULES,
    repeat: Repeat | None = None,
    fields: Sequence[str] = (),
) -> RecommendationRequest:
    """The request, from a file and from options, each of which says what the file does not.

    Args:
        path: of the file; None for options alone.
        types: of the columns of the items' metadata, which say how values of quotas are read.
        k, rules, repeat, fields: what options say.

    Raises:
        ConfigError: an option says what the file says too, or a quota is not understood.
        DataError: the file is not such a request; every field that breaks its contract is named.
    """
    body = {} if path is None else _body(path)
    if "seen" in body:  # the older name
        body["repeat"] = body.get("repeat", body["seen"])
    options: dict[str, Any] = {
        "k": k,
        "at_most": [{"column": cap.column, "n": cap.n} for cap in rules.caps] or None,
        "quotas": [_quota(quota, types) for quota in rules.quotas] or None,
        "calibration": None if rules.calibration is None else asdict(rules.calibration),
        "repeat": repeat,
        "fields": list(fields) or None,
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


def _quota(quota: Quota, types: Mapping[str, pl.DataType]) -> dict[str, Any]:
    if quota.group in (LONG_TAIL, NEW):
        return {"n": quota.n, "group": quota.group}
    column, op, text = quota.condition()
    value = _value(text, element_type(pl.Series(dtype=types[column]))) if column in types else text
    if op == "=":
        return {"n": quota.n, "where": {"op": "eq", "column": column, "value": value}}
    return {"n": quota.n, "where": {"op": "range", "column": column, ("min" if op == ">=" else "max"): value}}


def _value(text: str, kind: pl.DataType) -> Value:
    """A value as JSON has it for a column of this type; the text where it is none."""
    if kind == pl.Boolean:
        return {"true": True, "false": False}.get(text.lower(), text)
    try:
        return (int(text) if text.lstrip("+-").isdecimal() else float(text)) if kind.is_numeric() else text
    except ValueError:
        return text


def _faults(error: ValidationError) -> str:
    faults = (f"body.{'.'.join(map(str, fault['loc']))}: {fault_text(fault)}" for fault in error.errors())
    return "; ".join(faults)
