"""How long the command line takes to start: `python -m tests.benchmarks.command_line`.

Seconds of processor time of whole processes, user and system together, medians of several by turns, and beside them
those of an interpreter that imports only what they cannot do without: of typer, or of torch. A busy machine makes them
all longer, their ratios hardly. The small dataset has 200 users and 60 items, its bundle is an EASE.

`--today DIR` names an older checkout, built, beside which this one evaluates a Mult-VAE over Gowalla, 40,981 items,
by turns; its bundle is the older one's, after one epoch. Last line: one JSON object.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import polars as pl

REFUSED = ("train", "small", "--model", "mult-vae", "--set", "nonsense=1", "--to", "refused")
COMMANDS = {
    "cli_help_s": ("-m", "pipelines.cli", "--help"),
    "cli_models_s": ("-m", "pipelines.cli", "models"),
    "cli_refused_s": ("-m", "pipelines.cli", *REFUSED),
    "cli_recommend_s": ("-m", "pipelines.cli", "recommend", "bundle", "small", "--to", "lists.parquet"),
    "cli_evaluate_s": ("-m", "pipelines.cli", "evaluate", "bundle", "small", "--split", "strong"),
    "import_typer_s": ("-c", "import typer, typer.rich_utils"),
    "import_torch_s": ("-c", "import torch"),
}
"""What the interpreter is called with, by the name of the figure."""


EVALUATE_GOWALLA = ("-m", "pipelines.cli", "evaluate", "gowalla-bundle", "gowalla", "--split", "strong", "--json")


def processor_seconds(folder: Path, *arguments: str, checkout: Path | None = None) -> float:
    """What a process takes from its start to its end, of this checkout or another one."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    place = str((checkout or Path.cwd()).resolve())
    environment = os.environ | {"PYTHONPATH": place, "RECSYS_HOME": str(folder / "home"), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, *arguments], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode != ("nonsense=1" in arguments):
        raise SystemExit(f"{' '.join(arguments)} failed:\n{done.stdout}{done.stderr}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def prepare(folder: Path) -> None:
    """A small dataset with a split, and a bundle of it."""
    chance = np.random.default_rng(0)
    users, items = np.repeat(np.arange(200), 12), np.concatenate([chance.permutation(60)[:12] for _ in range(200)])
    pl.DataFrame({"user_id": users, "item_id": items}).write_csv(folder / "log.csv")
    for verb in (
        ("ingest", "log.csv", "--to", "small"),
        ("split", "small", "--protocol", "strong"),
        ("train", "small", "--model", "ease", "--to", "bundle"),
    ):
        processor_seconds(folder, "-m", "pipelines.cli", *verb)


def evaluations(folder: Path, today: Path, repeats: int) -> dict[str, float]:
    """Figures of evaluate over Gowalla, here and of an older checkout, by turns."""
    for verb in (
        ("ingest", "gowalla", "--to", "gowalla"),
        ("split", "gowalla", "--protocol", "strong"),
        ("train", "gowalla", "--model", "mult-vae", "--epochs", "1", "--to", "gowalla-bundle"),
    ):
        processor_seconds(folder, "-m", "pipelines.cli", *verb, checkout=today)
    turns = [
        (processor_seconds(folder, *EVALUATE_GOWALLA, checkout=today), processor_seconds(folder, *EVALUATE_GOWALLA))
        for _ in range(repeats + 1)
    ]
    older, here = (statistics.median(turn) for turn in zip(*turns[1:], strict=True))
    return {"evaluate_41k_today_s": older, "evaluate_41k_s": here, "eval_speedup_today": older / here}


def main() -> None:
    """Measure by turns, and print the medians."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5, help="Of each; the first of all is not counted.")
    parser.add_argument("--today", type=Path, help="An older checkout, built, to evaluate beside.")
    told = parser.parse_args()
    repeats, further = told.repeats, {}
    with tempfile.TemporaryDirectory() as name:
        prepare(Path(name))
        turns = [
            {figure: processor_seconds(Path(name), *arguments) for figure, arguments in COMMANDS.items()}
            for _ in range(repeats + 1)
        ]
        if told.today is not None:
            further = evaluations(Path(name), told.today, repeats)
    medians = {figure: statistics.median(turn[figure] for turn in turns[1:]) for figure in COMMANDS} | further
    print(json.dumps({figure: round(median, 2) for figure, median in medians.items()}))


if __name__ == "__main__":
    main()
