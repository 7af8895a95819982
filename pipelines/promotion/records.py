"""Records: a decision where people look for it: on the version and its run in MLflow, and as files of this machine."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.promotion.champions import LONGEST_TAG, decisions_folder, who
from pipelines.promotion.decision import Decision
from pipelines.promotion.page import WRITTEN, render
from recsys_vae.atomic import write_atomically
from recsys_vae.outputs import FileProduct
from recsys_vae.training.tracking import answering, mlflow_name

if TYPE_CHECKING:
    from mlflow import MlflowClient


def _is_decision(path: Path) -> bool:
    told = json.loads(path.read_bytes())
    return isinstance(told, dict) and {"decision", "outcome", "reasons"} <= told.keys()


FIGURES = FileProduct("figures of `recsys promote`", _is_decision)
"""What the figures beside a page may replace."""


def write_pages(decision: Decision, page: Path, *, name: str, version: str, champion: str | None) -> Path:
    """Write the page, and its figures as JSON beside it; returns the page.

    Raises:
        ConfigError: something else stands there.
    """
    write_atomically(page.with_suffix(".json"), _figures(decision, name, version, champion), FIGURES)
    write_atomically(page, render(decision, name, version, champion), WRITTEN)
    return page


def record(client: "MlflowClient", decision: Decision, *, name: str, version: str, champion: str | None) -> Path:
    """Keep a decision: pages on this machine, the same on the version's run, and tags on the version.

    It is told before the alias is moved: nothing is promoted without a record.

    Raises:
        UnavailableError: the store does not take it.
    """
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S%f")
    page = decisions_folder(name) / f"{stamp}-version-{version}.html"
    page.parent.mkdir(parents=True, exist_ok=True)
    write_pages(decision, page, name=name, version=version, champion=champion)
    with answering():
        run = client.get_model_version(name, version).run_id
        if run:
            for written in (page, page.with_suffix(".json")):
                client.log_text(run, written.read_text(), f"gate/{written.name}")
        for key, value in _tags(decision, champion).items():
            client.set_model_version_tag(name, version, key, value[:LONGEST_TAG])
    return page


def _tags(decision: Decision, champion: str | None) -> dict[str, str]:
    forced = {} if decision.forced is None else {"gate_forced": f"{decision.forced.by}: {decision.forced.reason}"}
    asked = decision.asked
    told = {
        "gate": decision.word,
        "gate_reason": decision.why,
        "gate_at": decision.decided_at,
        "gate_by": who(),
        "gate_against": "popularity" if champion is None else f"version {champion}",
        "gate_on": "" if asked is None else f"{asked.dataset}: {asked.place}",
    }
    figures = {
        f"gate_{mlflow_name(one.metric)}": f"{one.challenger:.6g} against {one.champion:.6g}, {one.verdict}"
        for one in decision.slices
        if one.is_overall
    }
    return told | forced | figures


def _figures(decision: Decision, name: str, version: str, champion: str | None) -> str:
    told = {"model": name, "version": version, "champion_version": champion} | decision.as_json()
    return json.dumps(told, indent=2) + "\n"
