"""Clients of the HTTP service, synchronous and asynchronous; needs the extra `client`."""

from service.client.client import AsyncClient, Client
from service.client.errors import Retries, ServiceError

__all__ = ["AsyncClient", "Client", "Retries", "ServiceError"]
