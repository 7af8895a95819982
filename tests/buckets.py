"""A bucket of Amazon's S3 as moto serves it over HTTP on this machine: the same requests, answered by a fake."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

import pytest

CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing-secret",
    "AWS_DEFAULT_REGION": "us-east-1",
}


class Bucket:
    """One bucket.

    Attributes:
        address: `s3://NAME`.
    """

    def __init__(self, client: Any, name: str) -> None:
        self._client, self._name, self.address = client, name, f"s3://{name}"

    def put(self, key: str, content: bytes) -> str:
        """Keep an object; its address."""
        self._client.put_object(Bucket=self._name, Key=key, Body=content)
        return f"{self.address}/{key}"

    def get(self, key: str) -> bytes:
        """An object's content."""
        return bytes(self._client.get_object(Bucket=self._name, Key=key)["Body"].read())

    def keys(self) -> list[str]:
        """Of all objects, in order."""
        return sorted(one["Key"] for one in self._client.list_objects_v2(Bucket=self._name).get("Contents", []))


@contextmanager
def own_bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[Bucket]:
    """A bucket of this test's own, to which the environment leads."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        for name, value in (CREDENTIALS | {"AWS_ENDPOINT_URL": f"http://{host}:{port}"}).items():
            monkeypatch.setenv(name, value)
        import boto3
        import s3fs

        s3fs.S3FileSystem.clear_instance_cache()  # of an earlier server
        client = boto3.client("s3")
        name = f"shop-{uuid4().hex[:8]}"
        client.create_bucket(Bucket=name)
        yield Bucket(client, name)
    finally:
        server.stop()
