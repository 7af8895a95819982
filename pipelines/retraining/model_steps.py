"""Steps about the model: train or update, evaluate, compare with the champion, make it of all data, promote."""

import json
import re
from collections.abc import Mapping
from typing import Any

from pipelines.retraining import exit_status
from pipelines.retraining.config import as_arguments
from pipelines.retraining.data_steps import SPLIT
from pipelines.retraining.erasure_steps import erase_options
from pipelines.retraining.page import EVALUATION
from pipelines.retraining.rule import FULL, Due, decide, drop_options, settings_mark
from pipelines.retraining.run import Result, Run, Skip, Work
from recsys_vae.bundles.manifest import read_manifest
from recsys_vae.errors import DataError

CHALLENGER, SHIPPED = "challenger", "shipped"
"""Folders of a run: the bundle that can be measured, and the one that has learned from all data."""


class Train:
    """A challenger that has not seen the newest events: trained from nothing, or the champion updated."""

    name = "train"

    def prepare(self, run: Run) -> Work | Skip:
        """On what lies before the test window; the epoch is chosen on the validation window."""
        if "content" not in run.facts:
            raise LookupError("the data of this run")
        due = decide(run)
        to = run.folder / CHALLENGER
        if due.champion is None:
            command = ("train", run.config.name, "--split", SPLIT, "--resume", *as_arguments(run.config.train))
        else:
            options = (*drop_options(run.config, due.champion), *erase_options(run))
            command = ("update", str(due.champion), run.config.name, "--split", SPLIT, *options)
        return _making(command, to, run, depends_on={"why": due.why})

    def conclude(self, run: Run, status: int, told: str) -> Result:
        """What was trained, and how well it does on the window that it chose on."""
        manifest, due = read_manifest(run.folder / CHALLENGER), decide(run)
        facts = {"challenger_version": version_in(told), "due": _as_fact(due), "settings": settings_mark(run)}
        own = manifest.provenance.metrics if due.what == FULL else {}
        return Result({"kind": due.what, "why": due.why, "bundle": manifest.version} | _on_validation(own), facts)


class Evaluate:
    """The challenger on the newest events, as served, beside popularity."""

    name = "evaluate"

    def prepare(self, run: Run) -> Work | Skip:
        """With a page."""
        challenger, page = run.folder / CHALLENGER, run.folder / EVALUATION
        told = ("--json", "--baselines", "popularity", "--report", str(page))
        return Work(command=("evaluate", str(challenger), run.config.name, "--split", SPLIT, *told))

    def conclude(self, run: Run, status: int, told: str) -> Result:
        """The figures of the challenger."""
        found = json.loads(told)
        figures = found["models"][found["served"]]
        shown = {name: figures[name]["mean"] for name in ("recall@20", "ndcg@100", "coverage@20") if name in figures}
        return Result({"users asked": found["users"]} | shown)


class Gate:
    """Challenger and champion on the newest events, which neither has seen; the job ends where it is worse."""

    name = "gate"

    def prepare(self, run: Run) -> Work | Skip:
        """What is found is kept; nobody is promoted yet."""
        version = run.facts["challenger_version"]
        asked = ("--version", version, "--on", f"{run.config.name}/{SPLIT}", "--only-compare", "--json")
        return Work(command=("promote", run.config.name, *asked, *as_arguments(run.config.promote)))

    def conclude(self, run: Run, status: int, told: str) -> Result:
        """Stop where the gate refuses."""
        found = json.loads(told)
        figures = {"decision": found["decision"], "page": found["page"]}
        figures |= {
            f"{one['metric']}, {one['name']}": f"{one['challenger']:.4f} against {one['champion']:.4f}"
            for one in found["slices"][:1]
        }
        note = " ".join(found["reasons"])
        if status == exit_status.REFUSED:
            return Result(figures, stops=exit_status.REFUSED, note=note)
        return Result(figures, note=note)


class Publish:
    """The same model of all data: published, or updated likewise."""

    name = "publish"

    def prepare(self, run: Run) -> Work | Skip:
        """From the challenger's bundle, or from the champion's."""
        if "due" not in run.facts:
            raise LookupError("what is due")
        due, to = decide(run), run.folder / SHIPPED
        options = as_arguments(run.config.publish)
        if due.champion is None:
            command = ("publish", str(run.folder / CHALLENGER), run.config.name, "--resume", *options)
        else:
            dropped = (*drop_options(run.config, due.champion), *erase_options(run))
            command = ("update", str(due.champion), run.config.name, "--split", "all", *dropped)
        return _making(command, to, run)

    def conclude(self, run: Run, status: int, told: str) -> Result:
        """Which version of the registered model it is; none, and the job ends, where an update has nothing to learn."""
        if not (run.folder / SHIPPED).exists():
            return Result(note="nothing came in that the model learns from", ends=True)
        version, manifest = version_in(told), read_manifest(run.folder / SHIPPED)
        facts = {"version": version, "shipped": str(run.folder / SHIPPED)}
        return Result({"bundle": manifest.version, "registered version": version}, facts)


class Promote:
    """The bundle of all data becomes the champion."""

    name = "promote"

    def prepare(self, run: Run) -> Work | Skip:
        """By what the gate found of the challenger."""
        version, judged = run.facts["version"], run.facts["challenger_version"]
        return Work(command=("promote", run.config.name, "--version", version, "--as", judged))

    def conclude(self, run: Run, status: int, told: str) -> Result:
        """Which one it is now."""
        return Result({"champion": f"version {run.facts['version']}"}, {"promoted": run.facts["version"]})


def _making(command: tuple[str, ...], to: object, run: Run, depends_on: Mapping[str, object] | None = None) -> Work:
    """A command that makes a bundle and registers it; what stands already is registered only."""
    name = run.config.name
    return Work(
        command=(*command, "--to", str(to), "--register-as", name),
        depends_on=depends_on or {},
        made=run.folder / str(to),
        instead=("register", str(to), "--as", name),
    )


def _as_fact(due: Due) -> dict[str, str | None]:
    places = {"champion": due.champion, "before": due.before}
    return {"what": due.what, "why": due.why} | {key: None if one is None else str(one) for key, one in places.items()}


def version_in(told: str) -> str:
    """The version of the registered model that a command says it has made."""
    found = re.findall(r"models:/[^/\s]+/(\d+)", told)
    if not found:
        raise DataError(f"The command did not say which version it has registered: {told[-500:]}")
    return str(found[-1])


def _on_validation(metrics: Mapping[str, float]) -> dict[str, Any]:
    return {f"{name} on validation": value for name, value in metrics.items() if not name.endswith("_se")}
