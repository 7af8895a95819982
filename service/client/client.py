"""Clients of the service, sync and async: typed requests and answers, timeouts, retries, one class of errors.

    with Client("http://127.0.0.1:8000") as client:
        answer = client.recommend(RecommendationRequest(history=["318", "50"], k=3))
        print([item.item_id for item in answer.items])

Needs the extra `client`. Requests and answers are those of service/schemas; what goes wrong is a ServiceError.
"""

import asyncio
import time
from collections.abc import Sequence
from itertools import count
from types import TracebackType
from typing import Self

import httpx2

from recsys_vae.data.signal_rules import Repeat
from service.client import calls
from service.client.calls import Answer, Call
from service.client.errors import Retries, ServiceError
from service.schemas.common import VARIANT_HEADER, BundleSummary, SimilarItemsList
from service.schemas.deployments import DeploymentChange, DeploymentSummary
from service.schemas.events import Erasure, EventReceipt, NewEvent, UserSummary
from service.schemas.item_lists import ItemListAnswer, ItemsRequest, ListRequest, RowsRequest, UserRows
from service.schemas.items import ItemChangeRow, ItemDocument, ItemPatch, ItemReceipt, ItemSummary
from service.schemas.recommendations import BatchAnswer, RecommendationRequest, Recommendations

__all__ = ["AsyncClient", "Client", "Retries", "ServiceError"]

TIMEOUT = httpx2.Timeout(10.0, connect=2.0)


def _headers(api_key: str | None, variant: str | None) -> dict[str, str]:
    found = {"Authorization": f"Bearer {api_key}"} if api_key else {}
    return found | ({VARIANT_HEADER: variant} if variant else {})


class Client:
    """Asks one service; safe to share between threads, and cheaper than one client a request.

    Args:
        url: of the service, such as `http://127.0.0.1:8000`.
        api_key: sent with every request; None where the service asks for none.
        timeout: seconds that one attempt may take to connect, to send and to be answered.
        retries: how often, and how soon, a failed request is sent again.
        variant: that is to answer, for tests; None for the one that each user is assigned.
        http: sends requests instead of a client of its own; `url` and `timeout` are then that client's matter.
    """

    def __init__(
        self,
        url: str = "",
        *,
        api_key: str | None = None,
        timeout: float | httpx2.Timeout = TIMEOUT,
        retries: Retries | None = None,
        variant: str | None = None,
        http: httpx2.Client | None = None,
    ) -> None:
        self._http = http if http is not None else httpx2.Client(base_url=url, timeout=timeout)
        self._headers = _headers(api_key, variant)
        self._retries = retries or Retries()

    def recommend(self, request: RecommendationRequest) -> Recommendations:
        """The k best items for a stored user, a history, or both."""
        return self._ask(calls.recommend(request))

    def recommend_to_user(self, user_id: str, k: int | None = None, repeat: Repeat | None = None) -> Recommendations:
        """The k best items for a user of the event store; what the user liked before as `repeat` says."""
        return self._ask(calls.recommend_to_user(user_id, k, repeat))

    def recommend_to_many(self, requests: Sequence[RecommendationRequest]) -> BatchAnswer:
        """Answer many requests in one, each with its list or its problem."""
        return self._ask(calls.recommend_to_many(requests))

    def similar(
        self, item_id: str, k: int | None = None, *, fields: Sequence[str] = (), request: ItemsRequest | None = None
    ) -> SimilarItemsList:
        """The k items most similar to one, each with these columns of its metadata; or all that a request says."""
        return self._ask(calls.similar(item_id, k, fields, request))

    def bought_together(
        self, item_id: str, k: int | None = None, *, fields: Sequence[str] = (), request: ItemsRequest | None = None
    ) -> SimilarItemsList:
        """The k items that most come in one session with an item; or all that a request says."""
        return self._ask(calls.bought_together(item_id, k, fields, request))

    def list_items(
        self, name: str, k: int | None = None, *, fields: Sequence[str] = (), request: ListRequest | None = None
    ) -> ItemListAnswer:
        """The first k items of a list without a user, such as `trending`; or all that a request says."""
        return self._ask(calls.list_items(name, k, fields, request))

    def rows(
        self, user_id: str, k: int | None = None, *, fields: Sequence[str] = (), request: RowsRequest | None = None
    ) -> UserRows:
        """Titled rows of k items for a user of the event store; or all that a request says."""
        return self._ask(calls.rows(user_id, k, fields, request))

    def show_item(self, item_id: str) -> ItemSummary:
        """What is known of an item."""
        return self._ask(calls.show_item(item_id))

    def change_items(self, changes: Sequence[ItemChangeRow]) -> ItemReceipt:
        """Change items, row by row; what is accepted is on disk, and in every next answer. Needs the scope `items`.

        Rows without a time get that of the call, which all of its attempts share.
        """
        return self._ask(calls.change_items(changes))

    def replace_item(self, item_id: str, document: ItemDocument, *, version: int | None = None) -> ItemSummary:
        """Say all that is known of an item; with `version`, only if it has that still. Needs the scope `items`."""
        return self._ask(calls.replace_item(item_id, document, version))

    def patch_item(self, item_id: str, patch: ItemPatch, *, version: int | None = None) -> ItemSummary:
        """Change what is named, remove what is null; `version` as for `replace_item`. Needs the scope `items`."""
        return self._ask(calls.patch_item(item_id, patch, version))

    def delete_item(self, item_id: str, *, version: int | None = None) -> ItemSummary:
        """Take an item out of all answers; `version` as for `replace_item`. Needs the scope `items`."""
        return self._ask(calls.delete_item(item_id, version))

    def send_events(self, events: Sequence[NewEvent], *, idempotency_key: str | None = None) -> EventReceipt:
        """Tell what users did. What is accepted is on disk, and in the user's next answer.

        Sending the same events again under the same key changes nothing. Without one, the call makes its own, which
        all of its attempts share.
        """
        return self._ask(calls.send_events(events, idempotency_key))

    def show_user(self, user_id: str, *, limit: int | None = None, before: int | None = None) -> UserSummary:
        """What is held about a user; `before` is `next_before` of the page before."""
        return self._ask(calls.show_user(user_id, limit, before))

    def erase_user(self, user_id: str) -> Erasure:
        """Erase all that is held about a user."""
        return self._ask(calls.erase_user(user_id))

    def bundle(self) -> BundleSummary:
        """What is in service."""
        return self._ask(calls.show_bundle())

    def deployment(self) -> DeploymentSummary:
        """The variants in service, and where their bundles come from; needs the scope `admin`."""
        return self._ask(calls.show_deployment())

    def reload(
        self, source: str | None = None, *, variant: str | None = None, wait: float | None = None
    ) -> DeploymentChange:
        """Put in service what the settings name, read afresh; or a source as one variant. Needs the scope `admin`.

        With `wait`, all replicas are waited for, as many seconds at most; `behind` of the answer counts the others.
        """
        return self._ask(calls.reload(source, variant, wait))

    def rollback(self, *, wait: float | None = None) -> DeploymentChange:
        """Put in service again what was before; needs the scope `admin`. Once more goes further back.

        `wait`: as for `reload`.
        """
        return self._ask(calls.rollback(wait))

    def is_ready(self) -> bool:
        """Whether it answers requests now; asked once, without retries."""
        try:
            self._ask(calls.ready(), Retries(attempts=1))
        except ServiceError as error:
            if error.is_passing:
                return False
            raise
        return True

    def close(self) -> None:
        """Give all connections back."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _ask(self, call: Call[Answer], retries: Retries | None = None) -> Answer:
        request = call.request(self._http)
        request.headers.update(self._headers)
        for attempt in count(1):
            try:
                return call.read(self._http.send(request))
            except httpx2.TransportError as error:
                failure = call.not_sent(error, request)
            except ServiceError as error:
                failure = error
            time.sleep((retries or self._retries).wait(failure, attempt))
        raise AssertionError("unreachable")


class AsyncClient:
    """Client for asyncio; the same arguments, verbs and errors."""

    def __init__(
        self,
        url: str = "",
        *,
        api_key: str | None = None,
        timeout: float | httpx2.Timeout = TIMEOUT,
        retries: Retries | None = None,
        variant: str | None = None,
        http: httpx2.AsyncClient | None = None,
    ) -> None:
        self._http = http if http is not None else httpx2.AsyncClient(base_url=url, timeout=timeout)
        self._headers = _headers(api_key, variant)
        self._retries = retries or Retries()

    async def recommend(self, request: RecommendationRequest) -> Recommendations:
        """The k best items for a stored user, a history, or both."""
        return await self._ask(calls.recommend(request))

    async def recommend_to_user(
        self, user_id: str, k: int | None = None, repeat: Repeat | None = None
    ) -> Recommendations:
        """The k best items for a user of the event store; what the user liked before as `repeat` says."""
        return await self._ask(calls.recommend_to_user(user_id, k, repeat))

    async def recommend_to_many(self, requests: Sequence[RecommendationRequest]) -> BatchAnswer:
        """Answer many requests in one, each with its list or its problem."""
        return await self._ask(calls.recommend_to_many(requests))

    async def similar(
        self, item_id: str, k: int | None = None, *, fields: Sequence[str] = (), request: ItemsRequest | None = None
    ) -> SimilarItemsList:
        """The k items most similar to one, each with these columns of its metadata; or all that a request says."""
        return await self._ask(calls.similar(item_id, k, fields, request))

    async def bought_together(
        self, item_id: str, k: int | None = None, *, fields: Sequence[str] = (), request: ItemsRequest | None = None
    ) -> SimilarItemsList:
        """The k items that most come in one session with an item; or all that a request says."""
        return await self._ask(calls.bought_together(item_id, k, fields, request))

    async def list_items(
        self, name: str, k: int | None = None, *, fields: Sequence[str] = (), request: ListRequest | None = None
    ) -> ItemListAnswer:
        """The first k items of a list without a user, such as `trending`; or all that a request says."""
        return await self._ask(calls.list_items(name, k, fields, request))

    async def rows(
        self, user_id: str, k: int | None = None, *, fields: Sequence[str] = (), request: RowsRequest | None = None
    ) -> UserRows:
        """Titled rows of k items for a user of the event store; or all that a request says."""
        return await self._ask(calls.rows(user_id, k, fields, request))

    async def show_item(self, item_id: str) -> ItemSummary:
        """What is known of an item."""
        return await self._ask(calls.show_item(item_id))

    async def change_items(self, changes: Sequence[ItemChangeRow]) -> ItemReceipt:
        """Change items, row by row; what is accepted is on disk, and in every next answer. Needs the scope `items`.

        Rows without a time get that of the call, which all of its attempts share.
        """
        return await self._ask(calls.change_items(changes))

    async def replace_item(self, item_id: str, document: ItemDocument, *, version: int | None = None) -> ItemSummary:
        """Say all that is known of an item; with `version`, only if it has that still. Needs the scope `items`."""
        return await self._ask(calls.replace_item(item_id, document, version))

    async def patch_item(self, item_id: str, patch: ItemPatch, *, version: int | None = None) -> ItemSummary:
        """Change what is named, remove what is null; `version` as for `replace_item`. Needs the scope `items`."""
        return await self._ask(calls.patch_item(item_id, patch, version))

    async def delete_item(self, item_id: str, *, version: int | None = None) -> ItemSummary:
        """Take an item out of all answers; `version` as for `replace_item`. Needs the scope `items`."""
        return await self._ask(calls.delete_item(item_id, version))

    async def send_events(self, events: Sequence[NewEvent], *, idempotency_key: str | None = None) -> EventReceipt:
        """Tell what users did. What is accepted is on disk, and in the user's next answer.

        Sending the same events again under the same key changes nothing. Without one, the call makes its own, which
        all of its attempts share.
        """
        return await self._ask(calls.send_events(events, idempotency_key))

    async def show_user(self, user_id: str, *, limit: int | None = None, before: int | None = None) -> UserSummary:
        """What is held about a user; `before` is `next_before` of the page before."""
        return await self._ask(calls.show_user(user_id, limit, before))

    async def erase_user(self, user_id: str) -> Erasure:
        """Erase all that is held about a user."""
        return await self._ask(calls.erase_user(user_id))

    async def bundle(self) -> BundleSummary:
        """What is in service."""
        return await self._ask(calls.show_bundle())

    async def deployment(self) -> DeploymentSummary:
        """The variants in service, and where their bundles come from; needs the scope `admin`."""
        return await self._ask(calls.show_deployment())

    async def reload(
        self, source: str | None = None, *, variant: str | None = None, wait: float | None = None
    ) -> DeploymentChange:
        """Put in service what the settings name, read afresh; or a source as one variant. Needs the scope `admin`.

        With `wait`, all replicas are waited for, as many seconds at most; `behind` of the answer counts the others.
        """
        return await self._ask(calls.reload(source, variant, wait))

    async def rollback(self, *, wait: float | None = None) -> DeploymentChange:
        """Put in service again what was before; needs the scope `admin`. Once more goes further back.

        `wait`: as for `reload`.
        """
        return await self._ask(calls.rollback(wait))

    async def is_ready(self) -> bool:
        """Whether it answers requests now; asked once, without retries."""
        try:
            await self._ask(calls.ready(), Retries(attempts=1))
        except ServiceError as error:
            if error.is_passing:
                return False
            raise
        return True

    async def close(self) -> None:
        """Give all connections back."""
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        await self.close()

    async def _ask(self, call: Call[Answer], retries: Retries | None = None) -> Answer:
        request = call.request(self._http)
        request.headers.update(self._headers)
        for attempt in count(1):
            try:
                return call.read(await self._http.send(request))
            except httpx2.TransportError as error:
                failure = call.not_sent(error, request)
            except ServiceError as error:
                failure = error
            await asyncio.sleep((retries or self._retries).wait(failure, attempt))
        raise AssertionError("unreachable")
