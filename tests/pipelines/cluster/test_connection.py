import builtins
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from pipelines.cluster import connection
from pipelines.cluster.connection import Node, connected
from pipelines.cluster.versions import differences, versions
from recsys_vae.errors import ConfigError, MissingExtraError, UnavailableError
from tests.ray_clusters import TOKEN

NODE = Node("n1", "10.0.0.7", 4)


@pytest.mark.parametrize("address", ["ray://10.0.0.5:10001", "10.0.0.5", "10.0.0.5:port", ":6379", "here"])
def test_what_is_no_address_is_refused(address):
    with (
        pytest.raises(ConfigError, match="no address of a cluster: expected local, auto, or HOST:PORT"),
        connected(address),
    ):
        pass


def test_an_address_where_nothing_listens_is_told_at_once():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    with pytest.raises(UnavailableError, match=f"No Ray cluster takes a connection at {address}"), connected(address):
        pass


def test_without_the_extra_the_error_names_it(monkeypatch):
    there = builtins.__import__

    def missing(name, *arguments, **options):
        if name.partition(".")[0] == "ray":
            raise ModuleNotFoundError("No module named 'ray'", name="ray")
        return there(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(MissingExtraError, match=r"recsys-vae\[ray\]"), connected("local"):
        pass


def test_a_node_with_another_product_is_named():
    other = {**versions(), "recsys-vae": "0.0.9", "polars": "1.0.0"}
    with pytest.raises(ConfigError, match=r"Node 10.0.0.7 has other versions.*recsys-vae 0.0.9 \(here .*polars 1.0.0"):
        connection._check_node(NODE, {"versions": other, "sees": True}, None)
    connection._check_node(NODE, {"versions": versions(), "sees": True}, None)
    assert differences(versions(), versions()) == ""


def test_a_node_without_the_product_is_named():
    with pytest.raises(ConfigError, match=r"Node 10.0.0.7 cannot load the product: No module named 'pipelines'"):
        connection._check_node(NODE, {"error": "No module named 'pipelines'"}, None)


def test_a_node_that_does_not_see_the_folder_is_named(tmp_path):
    with pytest.raises(ConfigError, match=f"Node 10.0.0.7 does not see the folder {tmp_path}"):
        connection._check_node(NODE, {"versions": versions(), "sees": False}, tmp_path)


ASK = """
import os, sys
from pathlib import Path
from pipelines.cluster.connection import connected
from pipelines.cluster.work import call_all
with connected(sys.argv[1], Path(sys.argv[2])) as cluster:
    print(len(cluster.nodes), list(call_all(cluster, abs, [(-3,), (-4,)])), os.environ["RAY_AUTH_MODE"])
"""


@pytest.mark.slow
def test_a_cluster_answers_those_alone_who_have_its_token(started, tmp_path, monkeypatch):
    def ask(address: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-W", "ignore", "-c", ASK, address, str(tmp_path)]
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)

    monkeypatch.setenv("RAY_AUTH_TOKEN", TOKEN)
    assert ask(started.address).stdout == "2 [3, 4] token\n"
    monkeypatch.setenv("RAY_AUTH_TOKEN", "x" * 64)
    refused = ask(started.address)
    assert refused.returncode != 0
    assert "the cluster has another token" in refused.stderr
    monkeypatch.delenv("RAY_AUTH_TOKEN")
    monkeypatch.setenv("HOME", str(tmp_path))
    without = ask(started.address)
    assert without.returncode != 0
    assert "asks for a token" in without.stderr
    assert not Path(tmp_path / ".ray").exists()


@pytest.mark.slow
def test_a_local_cluster_comes_and_goes_with_the_command(tmp_path):
    command = [sys.executable, "-W", "ignore", "-c", ASK, "local", str(tmp_path)]
    found = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300)
    assert found.stdout == "1 [3, 4] token\n"
