"""Operations: what was sampled is drawn, and keys without the scope see nothing."""

from time import time

from fastapi.testclient import TestClient

from tests.service.ui.logins import LogIn

HOME = "/ui/operations"


def test_what_was_asked_is_charted_and_listed_by_route(client: TestClient) -> None:
    assert "No sample has been taken" in client.get(HOME).text
    services, now = client.app_state["services"], time()
    services.day.take(services.metrics.families(), now - 30)
    for _ in range(3):
        client.post("/v1/recommendations", json={"history": ["a"], "k": 2})
    client.get("/<b>nowhere")
    services.day.take(services.metrics.families(), now - 15, memory=2e8)
    text = client.get(HOME).text
    assert text.count('<figure class="chart">') == 8
    row = text.partition("<code>/v1/recommendations</code>")[2].partition("</tr>")[0]
    assert '<td class="n">3</td>' in row
    assert "200 MB" in text
    assert "<b>nowhere" not in text
    assert "<code>unmatched</code>" in text
    assert "Lists by tier: 99th percentile, in ms" in text
    assert "history</th>" in text


def test_it_refreshes_itself_until_it_is_told_not_to(client: TestClient) -> None:
    assert 'hx-trigger="every 15s"' in client.get(f"{HOME}?span=24h").text
    stopped = client.get(f"{HOME}?span=24h&live=no").text
    assert "hx-trigger" not in stopped
    assert 'href="/ui/operations?span=15m&amp;live=no"' in stopped
    assert client.get(f"{HOME}?span=2h").status_code == 422


def test_only_keys_for_metrics_see_them(log_in: LogIn) -> None:
    assert "needs the scope <code>metrics</code>" in log_in("ui", "admin").get(HOME).text
    assert 'id="operations"' in log_in("ui", "metrics").get(HOME).text
