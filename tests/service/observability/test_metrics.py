"""What is told to the metrics comes out of them; several workers are summed, and the gauges of a dead one go."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from prometheus_client.multiprocess import mark_process_dead
from prometheus_client.parser import text_string_to_metric_families

from recsys_vae.recommender import FallbackChain
from service.app import create_app
from service.observability.metrics import EngineMetrics, Metrics
from service.observability.request_context import CURRENT, RequestRecord
from service.ranking.results import Notice
from service.security.api_keys import SCOPES, entry_of, new_key
from service.settings import Settings
from tests.service.tiny import lineup_of, only


def values(text: bytes) -> dict[str, float]:
    """Sample with its labels -> value."""
    return {
        sample.name
        + "".join(f" {name}={value}" for name, value in sorted(sample.labels.items()) if value): sample.value
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
    }


def test_everything_that_is_told_is_counted() -> None:
    metrics = Metrics()
    engine = EngineMetrics(metrics)
    engine.request_refused("overloaded")
    engine.batch_computed([0.001, 0.002, 0.003], 0.004, 7)
    metrics.count_history_lookup(is_hit=True)
    metrics.count_history_lookup(is_hit=False)
    metrics.count_store_error("read")
    metrics.count_start()
    found = values(metrics.text())
    assert found["recsys_queue_depth"] == 7
    assert found["recsys_queue_refused_requests_total reason=overloaded"] == 1
    assert (found["recsys_batch_size_count"], found["recsys_batch_size_sum"]) == (1, 3)
    assert (found["recsys_queue_wait_seconds_count"], found["recsys_compute_seconds_count"]) == (3, 1)
    assert found["recsys_queue_wait_seconds_sum"] == pytest.approx(0.006)
    assert found["recsys_history_lookups_total result=hit"] == found["recsys_history_lookups_total result=miss"] == 1
    assert found["recsys_store_errors_total operation=read"] == 1
    assert found["recsys_workers"] == found["recsys_worker_starts_total"] == 1


@pytest.mark.parametrize(
    ("tiers", "noted"), [((), ""), (("history",) * 2, "history"), (("history", "popular"), "mixed")]
)
def test_a_request_knows_the_tier_of_its_answers(tiers: tuple[str, ...], noted: str) -> None:
    metrics, record = Metrics(), RequestRecord("r1")
    token = CURRENT.set(record)
    for tier in tiers:
        metrics.count_answer(tier, (Notice("unknown_user", "who?"),))
    CURRENT.reset(token)
    metrics.count_answer("content", ())
    assert record.tier == noted


def test_only_what_is_in_service_is_named(chain: FallbackChain, any_chain: FallbackChain) -> None:
    metrics = Metrics()
    metrics.name_lineup(replace(lineup_of(a=any_chain, b=any_chain), generation=3))
    metrics.name_lineup(replace(lineup_of(a=chain, b=chain), generation=4))
    version, found = chain.bundle.version, values(metrics.text())
    shown = {name: value for name, value in found.items() if name.startswith(("recsys_bundle", "recsys_deployment"))}
    assert shown == {
        f"recsys_bundle_info model=ease version={version}": 1,
        f"recsys_bundle_items version={version}": 8,
        f"recsys_deployment variant=a version={version}": 0.5,
        f"recsys_deployment variant=b version={version}": 0.5,
        "recsys_deployment_generation": 4,
        "recsys_deployment_behind": 0,
    }


WORKER = """
import os
from service.observability.metrics import EngineMetrics, Metrics
metrics = Metrics()
metrics.count_start()
metrics.show_queue(3)
metrics.count_request("GET", "/v1/bundle", 200, 0.01, "history")
print(os.getpid())
"""
READER = (
    "from service.observability.metrics import EngineMetrics, Metrics; import sys;"
    "sys.stdout.buffer.write(Metrics().text())"
)


def test_workers_are_summed_and_a_dead_one_leaves_what_it_counted_only(tmp_path: Path) -> None:
    environment = os.environ | {"PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}

    def python(code: str) -> bytes:
        return subprocess.run([sys.executable, "-c", code], env=environment, stdout=-1, check=True, timeout=60).stdout

    first, _ = (int(python(WORKER)) for _ in range(2))
    together = values(python(READER))
    assert (together["recsys_workers"], together["recsys_queue_depth"]) == (2, 6)
    mark_process_dead(first, str(tmp_path))
    after = values(python(READER))
    assert (after["recsys_workers"], after["recsys_queue_depth"], after["recsys_worker_starts_total"]) == (1, 3, 2)
    label = "method=GET route=/v1/bundle status=200 tier=history"
    assert after[f"recsys_request_seconds_count {label}"] == 2


def series(client: TestClient, headers: dict[str, str]) -> set[str]:
    """Every time series that is told, without its value."""
    lines = client.get("/metrics", headers=headers).text.splitlines()
    return {line.rpartition(" ")[0] for line in lines if not line.startswith("#")}


@pytest.mark.parametrize("has_key", [True, False])
def test_what_strangers_send_makes_no_time_series(settings: Settings, chain: FallbackChain, has_key: bool) -> None:
    key = new_key()
    guarded = settings.model_copy(update={"keys": str(entry_of(key, "all", SCOPES)), "rate_limit": "100000/hour"})
    with TestClient(create_app(guarded, only(chain))) as client:
        known = {"Authorization": f"Bearer {key}"}

        def send_strange_ones(word: str) -> None:
            headers = (known if has_key else {"Authorization": f"Bearer {word * 9}"}) | {
                "X-Recsys-Variant": word, "X-Request-ID": word, "Host": f"{word}.example", "User-Agent": word,
            }  # fmt: skip
            for method, address, body in (
                (f"X{word}", "/v1/bundle", None), (f"get{word}", f"/{word}", None), ("GET", f"/{word}/{word}", None),
                ("GET", f"/v1/users/{word}/recommendations", None), ("GET", f"/v1/items/{word}/similar", None),
                ("GET", f"/v1/users/{word}?{word}={word}", None), ("DELETE", f"/v1/users/{word}", None),
                ("POST", "/v1/recommendations", {"history": [word], "metadata": {word: word}}),
                ("POST", "/v1/recommendations", {word: 1}),
                ("POST", "/v1/recommendations:batch", {"requests": [{word: 1}]}),
                ("POST", "/v1/events", {"events": [{"user_id": word, "item_id": word, "event_type": word}]}),
                ("POST", "/v1/admin/reload", {"source": word, "variant": word}), ("HEAD", f"/{word}", None),
            ):  # fmt: skip
                client.request(method, address, json=body, headers=headers)

        send_strange_ones("first")
        series(client, known)  # which is one itself
        before = series(client, known)
        for number in range(8):
            send_strange_ones(f"made-up-{number}")
        after = series(client, known)
        assert after == before
        assert any('method="other"' in line for line in after)
        assert not any(word in line for line in after for word in ("first", "made-up"))
