"""Steps about the model: train, evaluate, compare with the champion, publish, promote."""

import json
import re
from collections.abc import Mapping

from pipelines.retraining.config import as_arguments
from pipelines.retraining.data_steps import SPLIT
from pipelines.retraining.run import Result, Run, Skip, Work
from recsys_vae.bundles.manifest import read_manifest
from recsys_vae.errors import DataError

CHALLENGER, SHIPPED = "challenger", "shipped"
"""Folders of a run: the bundle that can be measured, and the one that has learned from all data."""


class Train:
    """A challenger that has not seen the newest events."""

    name = "train"

    def prepare(self, run: Run) -> Work | Skip:
        """On the training part of the split, the epoch chosen on the validation window."""
        to = run.folder / CHALLENGER
        named = ("--register-as", run.config.name)
        options = as_arguments(run.config.train)
        return Work(
            command=("train", run.config.name, "--split", SPLIT, "--to", str(to), *named, "--resume", *options),
            made=to,
            instead=("register", str(to), "--as", run.config.name),
        )

    def conclude(self, run: Run, status: int, told: str) -> Result:
        """What was trained, and how well it does on the window that it chose on."""
        manifest = read_manifest(run.folder / CHALLENGER)
        return Result({"bundle": manifest.version} | _named_figures(manifest.provenance.metrics, "validation"))


class Evaluate:
    """The challenger on the newest events, as served, beside popularity."""

    name = "evaluate"

    def prepare(self, run: Run) -> Work | Skip:
        """With a page."""
        challenger, page = run.folder / CHALLENGER, run.folder / "evaluation.html"
        told = ("--json", "--baselines", "popularity", "--report", str(page))
        return Work(command=("evaluate", str(challenger), run.config.name, "--split", SPLIT, *told))

    def conclude(self, run: Run, status: int, told: str) -> Result:
        """The figures of the challenger."""
        found = json.loads(told)
        figures = found["models"][found["served"]]
        shown = {name: figures[name] for name in ("recall@20", "ndcg@100", "coverage@20") if name in figures}
        return Result({"users asked": found["users"]} | {name: _value(value) for name, value in shown.items()})


class Publish:
    """The challenger's model, trained on all data."""

    name = "publish"

    def prepare(self, run: Run) -> Work | Skip:
        """From the challenger's bundle."""
        source, to = run.folder / CHALLENGER, run.folder / SHIPPED
        options = as_arguments(run.config.publish)
        named = ("--register-as", run.config.name)
        return Work(
            command=("publish", str(source), run.config.name, "--to", str(to), *named, "--resume", *options),
            made=to,
            instead=("register", str(to), "--as", run.config.name),
        )

    def conclude(self, run: Run, status: int, told: str) -> Result:
        """Which version of the registered model it is."""
        registered = re.search(r"models:/[^/\s]+/(\d+)", told)
        if registered is None:
            raise DataError(f"`recsys publish` did not say which version it has registered: {told[-500:]}")
        version, manifest = registered[1], read_manifest(run.folder / SHIPPED)
        facts = {"version": version, "shipped": str(run.folder / SHIPPED)}
        return Result({"bundle": manifest.version, "registered version": version}, facts)


def _named_figures(metrics: Mapping[str, float], where: str) -> dict[str, float]:
    return {f"{name} on {where}": value for name, value in metrics.items() if not name.endswith("_se")}


def _value(figure: object) -> object:
    return figure.get("mean", figure) if isinstance(figure, dict) else figure


class Promote:
    """The published bundle becomes the champion."""

    name = "promote"

    def prepare(self, run: Run) -> Work | Skip:
        """The version that was registered, and no other."""
        return Work(command=("promote", run.config.name, "--version", run.facts["version"]))

    def conclude(self, run: Run, status: int, told: str) -> Result:
        """Which one it is now."""
        return Result({"champion": f"version {run.facts['version']}"}, {"promoted": run.facts["version"]})
