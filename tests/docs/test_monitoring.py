"""The dashboard and the alert rules ask for metrics and labels that the service has."""

import json
import re
from pathlib import Path

import pytest
import yaml

from service.observability.metrics import Metrics

FOLDER = Path(__file__).parents[2] / "docs" / "monitoring"
NAME = re.compile(r"\b(recsys_[a-z_]+)(?:\{([^}]*)\})?")


def of_dashboard() -> list[str]:
    board = json.loads((FOLDER / "dashboard.json").read_text())
    return [target["expr"] for panel in board["panels"] for target in panel["targets"]]


def of_alerts() -> list[str]:
    groups = yaml.safe_load((FOLDER / "alerts.yml").read_text())["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    assert all(rule["annotations"]["summary"] and rule["labels"]["severity"] for rule in rules)
    return [rule["expr"] for rule in rules]


EXPRESSIONS = [*of_dashboard(), *of_alerts()]


SUFFIXES = {"counter": ["_total"], "gauge": [""], "histogram": ["_bucket", "_count", "_sum"]}
OF_PROMETHEUS = {"instance", "job"}


def known() -> dict[str, set[str]]:
    """Sample name -> the labels that it has, of every metric of the service."""
    registry = Metrics().registry
    return {
        metric.name + suffix: {*collector._labelnames} | ({"le"} if suffix == "_bucket" else set())
        for collector in registry._collector_to_names
        for metric in collector.describe()
        for suffix in SUFFIXES[metric.type]
    }


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_every_metric_and_label_that_is_asked_for_exists(expression: str) -> None:
    metrics = known()
    asked = NAME.findall(expression)
    assert asked or expression.startswith("up{")
    labels = {label for name, _ in asked for label in metrics.get(name, ())} | OF_PROMETHEUS
    assert [name for name, _ in asked if name not in metrics] == []
    for name, selector in asked:
        assert set(re.findall(r"(\w+)\s*(?:=~|!=|!~|=)", selector)) <= metrics[name]
    for names in re.findall(r"by \(([^)]*)\)", expression):
        assert {name.strip() for name in names.split(",")} <= labels


def test_every_metric_of_the_service_is_on_the_dashboard() -> None:
    shown = {name for expression in of_dashboard() for name, _ in NAME.findall(expression)}
    families = {re.sub(r"_(bucket|count|sum)$", "", name) for name in known()}
    assert families - {re.sub(r"_(bucket|count|sum)$", "", name) for name in shown} == set()
