"""Calls: what the clients send and how they read what comes back, without sending anything.

A call is sent again only where that can do no harm, and only after failures that a later attempt may not meet: no
connection, a connection that broke, 429 and 503. A timeout is not among them: whoever asked has waited long enough.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Generic, TypeVar
from urllib.parse import quote
from uuid import uuid4

import httpx2
from pydantic import BaseModel, TypeAdapter, ValidationError

from recsys_vae.data.signal_rules import Repeat
from recsys_vae.errors import ConfigError, fault_text
from service.client.errors import ServiceError
from service.schemas.common import BundleSummary, Health, Id, Problem, SimilarItemsList
from service.schemas.deployments import DeploymentChange, DeploymentSummary, ReloadRequest
from service.schemas.events import Erasure, EventReceipt, NewEvent, NewEvents, UserSummary
from service.schemas.item_lists import ItemListAnswer, ItemsRequest, ListRequest, RowsRequest, UserRows
from service.schemas.items import ItemChangeRow, ItemChanges, ItemDocument, ItemPatch, ItemReceipt, ItemSummary
from service.schemas.recommendations import BatchAnswer, BatchRequest, RecommendationRequest, Recommendations

Answer = TypeVar("Answer", bound=BaseModel)
ID: TypeAdapter[str] = TypeAdapter(Id)

REQUEST_ID = "X-Request-ID"
IDEMPOTENCY_KEY = "Idempotency-Key"
JSON = {"Content-Type": "application/json"}
PASSING = (429, 503)
"""Statuses that say: not now."""
LOADING_SECONDS = 300.0
"""A bundle is fetched, verified and warmed up before the answer comes."""
CHARACTERS_TOLD = 200
"""How much of an answer that is not ours goes into a message."""


@dataclass(frozen=True)
class Call(Generic[Answer]):
    """One request, the same however often it is sent.

    Attributes:
        method: of HTTP.
        path: with its parts quoted.
        answer: what comes back.
        body: what is sent; fields that were not set are left out, so that an older service understands the rest.
        params: of the query; None for what was not asked.
        headers: besides those of every request.
        is_repeatable: whether sending it twice does what sending it once does.
        timeout: of an attempt; None for the client's own.
        request_id: the same for every attempt.
    """

    method: str
    path: str
    answer: type[Answer]
    body: BaseModel | None = None
    params: Mapping[str, float | str | list[str] | None] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    is_repeatable: bool = True
    timeout: httpx2.Timeout | None = None
    request_id: str = field(default_factory=lambda: uuid4().hex)

    def request(self, http: httpx2.Client | httpx2.AsyncClient) -> httpx2.Request:
        """The request as this client would send it."""
        return http.build_request(
            self.method,
            self.path,
            content=None if self.body is None else self.body.model_dump_json(exclude_unset=True),
            params={name: value for name, value in self.params.items() if value is not None},
            headers={REQUEST_ID: self.request_id} | ({} if self.body is None else JSON) | dict(self.headers),
            timeout=self.timeout or http.timeout,
        )

    def read(self, response: httpx2.Response) -> Answer:
        """The answer. Fields that this version does not know are left out: a newer service is understood.

        Raises:
            ServiceError: it is an error, or not an answer of this service.
        """
        if not response.is_success:
            raise self._refused(response)
        try:
            return self.answer.model_validate_json(response.content, extra="ignore")
        except ValidationError as error:
            raise ServiceError(
                f"{self._name(response.request)} was answered, but not with {self.answer.__name__}: "
                f"{_start(response)!r}. Does the address belong to recsys_vae, and to this version's service?",
                status=response.status_code,
                request_id=self.request_id,
            ) from error

    def not_sent(self, error: httpx2.TransportError, request: httpx2.Request) -> ServiceError:
        """What it means that nothing came back."""
        never_arrived = isinstance(error, httpx2.ConnectError | httpx2.ConnectTimeout)
        broke_off = isinstance(error, httpx2.NetworkError | httpx2.RemoteProtocolError)
        cause = str(error) or type(error).__name__
        return ServiceError(
            f"{self._name(request)} got no answer: {cause}. Check the address, and that the service runs.",
            request_id=self.request_id,
            is_passing=never_arrived or (broke_off and self.is_repeatable),
        )

    def _refused(self, response: httpx2.Response) -> ServiceError:
        problem = _problem(response)
        said = problem.detail if problem else _start(response)
        request_id = problem.request_id if problem else self.request_id
        return ServiceError(
            f"{self._name(response.request)} was answered with {response.status_code} {response.reason_phrase}: "
            f"{said} (request_id {request_id})",
            status=response.status_code,
            problem=problem,
            request_id=request_id,
            retry_after=_retry_after(response),
            is_passing=self.is_repeatable and response.status_code in PASSING,
        )

    def _name(self, request: httpx2.Request) -> str:
        return f"{self.method} {request.url.copy_with(query=None)}"


def recommend(request: RecommendationRequest) -> Call[Recommendations]:
    """POST /v1/recommendations."""
    return Call("POST", "/v1/recommendations", Recommendations, request)


def recommend_to_user(user_id: str, k: int | None, repeat: Repeat | None) -> Call[Recommendations]:
    """GET /v1/users/{user_id}/recommendations."""
    address, params = f"/v1/users/{_quoted(user_id)}/recommendations", {"k": k, "repeat": repeat}
    return Call("GET", address, Recommendations, params=params)


def recommend_to_many(requests: Sequence[RecommendationRequest]) -> Call[BatchAnswer]:
    """POST /v1/recommendations:batch."""
    return Call("POST", "/v1/recommendations:batch", BatchAnswer, BatchRequest(requests=list(requests)))


def send_events(events: Sequence[NewEvent], idempotency_key: str | None) -> Call[EventReceipt]:
    """POST /v1/events; under a key of its own where none is given, so that it may be sent again."""
    headers = {IDEMPOTENCY_KEY: idempotency_key or uuid4().hex}
    return Call("POST", "/v1/events", EventReceipt, NewEvents(events=list(events)), headers=headers)


def show_user(user_id: str, limit: int | None, before: int | None) -> Call[UserSummary]:
    """GET /v1/users/{user_id}."""
    return Call("GET", f"/v1/users/{_quoted(user_id)}", UserSummary, params={"limit": limit, "before": before})


def erase_user(user_id: str) -> Call[Erasure]:
    """DELETE /v1/users/{user_id}."""
    return Call("DELETE", f"/v1/users/{_quoted(user_id)}", Erasure)


def similar(item_id: str, k: int | None, fields: Sequence[str], request: ItemsRequest | None) -> Call[SimilarItemsList]:
    """GET or POST /v1/items/{item_id}/similar."""
    return _listed(f"/v1/items/{_quoted(item_id)}/similar", SimilarItemsList, k, fields, request)


def bought_together(
    item_id: str, k: int | None, fields: Sequence[str], request: ItemsRequest | None
) -> Call[SimilarItemsList]:
    """GET or POST /v1/items/{item_id}/bought-together."""
    return _listed(f"/v1/items/{_quoted(item_id)}/bought-together", SimilarItemsList, k, fields, request)


def list_items(name: str, k: int | None, fields: Sequence[str], request: ListRequest | None) -> Call[ItemListAnswer]:
    """GET or POST /v1/lists/{name}."""
    return _listed(f"/v1/lists/{_quoted(name)}", ItemListAnswer, k, fields, request)


def rows(user_id: str, k: int | None, fields: Sequence[str], request: RowsRequest | None) -> Call[UserRows]:
    """GET or POST /v1/users/{user_id}/rows."""
    return _listed(f"/v1/users/{_quoted(user_id)}/rows", UserRows, k, fields, request)


def _listed(
    path: str, answer: type[Answer], k: int | None, fields: Sequence[str], request: ItemsRequest | None
) -> Call[Answer]:
    """A list by its address, or with a body where there is a request, which then says all."""
    if request is None:
        return Call("GET", path, answer, params={"k": k, "fields": list(fields) or None})
    if k is not None or fields:
        raise ConfigError("The request says how many items and which columns: leave k and fields out.")
    return Call("POST", path, answer, request)


def show_item(item_id: str) -> Call[ItemSummary]:
    """GET /v1/items/{item_id}."""
    return Call("GET", f"/v1/items/{_quoted(item_id)}", ItemSummary)


def change_items(changes: Sequence[ItemChangeRow]) -> Call[ItemReceipt]:
    """POST /v1/items; rows without a time get that of now, so that they may be sent again."""
    now = datetime.now(UTC)
    rows = [change if change.timestamp else change.model_copy(update={"timestamp": now}) for change in changes]
    return Call("POST", "/v1/items", ItemReceipt, ItemChanges(items=rows))


def replace_item(item_id: str, document: ItemDocument, version: int | None) -> Call[ItemSummary]:
    """PUT /v1/items/{item_id}."""
    return _item_call("PUT", item_id, document, version)


def patch_item(item_id: str, patch: ItemPatch, version: int | None) -> Call[ItemSummary]:
    """PATCH /v1/items/{item_id}."""
    return _item_call("PATCH", item_id, patch, version)


def delete_item(item_id: str, version: int | None) -> Call[ItemSummary]:
    """DELETE /v1/items/{item_id}."""
    return _item_call("DELETE", item_id, None, version)


def _item_call(method: str, item_id: str, body: BaseModel | None, version: int | None) -> Call[ItemSummary]:
    """Sent once where it names the version that it changes: sent again, it would meet its own change."""
    headers = {} if version is None else {"If-Match": f'"{version}"'}
    path, is_repeatable = f"/v1/items/{_quoted(item_id)}", version is None
    return Call(method, path, ItemSummary, body, headers=headers, is_repeatable=is_repeatable)


def show_bundle() -> Call[BundleSummary]:
    """GET /v1/bundle."""
    return Call("GET", "/v1/bundle", BundleSummary)


def show_deployment() -> Call[DeploymentSummary]:
    """GET /v1/admin/deployment."""
    return Call("GET", "/v1/admin/deployment", DeploymentSummary)


def reload(source: str | None, variant: str | None, wait: float | None) -> Call[DeploymentChange]:
    """POST /v1/admin/reload; without a body where nothing is named."""
    chosen = {name: value for name, value in (("source", source), ("variant", variant)) if value is not None}
    body = ReloadRequest(**chosen) if chosen else None
    return Call("POST", "/v1/admin/reload", DeploymentChange, body, {"wait": wait}, timeout=_loading(wait))


def rollback(wait: float | None) -> Call[DeploymentChange]:
    """POST /v1/admin/rollback; sent once, as another one goes further back."""
    path, timeout = "/v1/admin/rollback", _loading(wait)
    return Call("POST", path, DeploymentChange, params={"wait": wait}, is_repeatable=False, timeout=timeout)


def _loading(wait: float | None) -> httpx2.Timeout:
    return httpx2.Timeout(LOADING_SECONDS + (wait or 0.0), connect=2.0)


def ready() -> Call[Health]:
    """GET /health/ready."""
    return Call("GET", "/health/ready", Health)


def _quoted(part: str) -> str:
    """An id as one segment of an address."""
    try:
        found = quote(ID.validate_python(part), safe="")
    except ValidationError as error:
        raise ConfigError(f"{part!r} is no id: {fault_text(error.errors()[0])}.") from error
    return found.replace(".", "%2E") if found in (".", "..") else found  # plain, they would be steps in the address


def _problem(response: httpx2.Response) -> Problem | None:
    try:
        return Problem.model_validate_json(response.content, extra="ignore")
    except ValidationError:
        return None


def _start(response: httpx2.Response) -> str:
    return " ".join(response.text[: 2 * CHARACTERS_TOLD].split())[:CHARACTERS_TOLD]


def _retry_after(response: httpx2.Response) -> float | None:
    """Seconds, from seconds or a date (RFC 9110, section 10.2.3)."""
    said = response.headers.get("retry-after", "")
    if said.isdecimal():
        return float(said)
    try:
        moment = parsedate_to_datetime(said)
    except ValueError:
        return None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return max(0.0, (moment - datetime.now(UTC)).total_seconds())
