"""What routes are given."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, TypedDict

from anyio import CapacityLimiter
from fastapi import Depends, Request

from service.deployment.controller import Deployments
from service.observability.day import Day
from service.observability.metrics import Metrics
from service.ranking.engine import Engine
from service.ranking.live_items import LiveItems
from service.security.access import Access
from service.settings import Settings
from service.store.actions import ActionLog
from service.store.events import EventStore
from service.store.history_cache import Histories
from service.store.impression_writer import ImpressionWriter
from service.store.impressions import ImpressionTable
from service.store.items import ItemStore
from service.store.logins import LoginTable

if TYPE_CHECKING:
    from service.http.direct_path import DirectPath


@dataclass(frozen=True)
class Services:
    """Everything that lives as long as the application.

    Attributes:
        writers: how many threads write events at a time. They are not those that read, which a flood leaves free.
        day: samples of the metrics; none are taken where there are no pages.
        direct: answers plain requests from the socket; None where all go the long way.
    """

    settings: Settings
    deployments: Deployments
    engine: Engine
    store: EventStore
    histories: Histories
    shown: ImpressionTable
    exposures: ImpressionWriter
    metrics: Metrics
    writers: CapacityLimiter
    item_store: ItemStore
    items: LiveItems
    actions: ActionLog
    logins: LoginTable
    day: Day
    direct: "DirectPath | None" = None


class State(TypedDict):
    """What the lifespan hands to every request."""

    services: Services


async def _services(request: Request) -> Services:
    services: Services = request.state.services
    return services


async def _request_id(request: Request) -> str:
    request_id: str = request.state.request_id
    return request_id


async def _access(request: Request) -> Access:
    access: Access = request.state.access
    return access


ServicesDep = Annotated[Services, Depends(_services)]
RequestId = Annotated[str, Depends(_request_id)]
AccessDep = Annotated[Access, Depends(_access)]
