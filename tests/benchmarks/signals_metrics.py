"""What rules of re-ranking cost and bring on MovieLens 1M: `python -m tests.benchmarks.signals_metrics`.

EASE with the committed settings, lists of 20 of the 603 test users of the strong split, as they are and by rules. No
setting is chosen here. Intervals are paired bootstraps over users: re-ranked minus as it is. The last line is JSON:
metric to (difference, low, high) by rule, and the processor time of lists and metrics in milliseconds a user.
"""

import argparse
import json
import time
from typing import Any

import numpy as np
import polars as pl

from pipelines.dataset.directory import DatasetDir
from pipelines.dataset.item_table import item_table
from recsys_vae.data.columns import ITEM, POPULARITY
from recsys_vae.evaluation.bootstrap import paired_bootstrap
from recsys_vae.evaluation.evaluate import evaluate
from recsys_vae.evaluation.item_facts import ItemFacts
from recsys_vae.reranking.reranker import Reranker
from recsys_vae.reranking.rules import NO_RULES, Rules, parse_rules
from tests.benchmarks.models import resumable, specified
from tests.benchmarks.quickstart import ml_1m
from tests.benchmarks.records import record

K = 20
METRICS = ("ndcg@20", "recall@20", "miscalibration@20[genres]", "diversity@20[genres]", "novelty@20", "gini@20",
           "popularity-lift@20")  # fmt: skip
RULES = {
    "cap": parse_rules(["5:genres"], [], None),
    "long-tail": parse_rules([], ["4:long-tail"], None),
    "calibrated-0.3": parse_rules([], [], "genres:0.3"),
    "calibrated-0.5": parse_rules([], [], "genres:0.5"),
    "all": parse_rules(["10:genres"], ["4:long-tail"], "genres:0.5"),
}


def measure() -> dict[str, Any]:
    """Every rule beside none."""
    split = ml_1m()
    model = resumable(specified("ml-1m", "ease"), split.train.matrix, split.validation, "ml1m").model
    counts, items = split.train.item_counts(), split.train.items.values
    found = item_table(DatasetDir.open("bench-ml-1m"))
    assert found is not None
    table = items.to_frame(ITEM).join(found, on=ITEM, how="left", maintain_order="left")
    table = table.with_columns(pl.Series(POPULARITY, counts.astype(np.int64)))
    facts = ItemFacts(counts, table)

    def ask(rules: Rules) -> Any:
        reranker = Reranker(rules, table, K) if rules else None
        started = time.process_time()
        measured = evaluate(model, split.test, METRICS, facts=facts, reranker=reranker)
        return measured, 1000 * (time.process_time() - started) / measured.n_users

    bare, bare_ms = ask(NO_RULES)
    told: dict[str, Any] = {"as-it-is": {"means": bare.means, "errors": bare.standard_errors, "ms_a_user": bare_ms}}
    for name, rules in RULES.items():
        ruled, spent = ask(rules)
        gaps = {m: paired_bootstrap(ruled.per_user[m], bare.per_user[m]) for m in bare.per_user}
        told[name] = {
            "rules": str(rules),
            "means": ruled.means,
            "minus_as_it_is": {m: (gap.difference, gap.low, gap.high) for m, gap in gaps.items()},
            "ms_a_user": spent,
        }
    return told


def main() -> None:
    """Measure, or print what was measured."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fresh", action="store_true", help="measure again")
    told = record("signals", "rules-ml-1m", measure, fresh=parser.parse_args().fresh)["figures"]
    for name, one in told.items():
        print(f"{name:16}" + "  ".join(f"{m} {value:.4f}" for m, value in one["means"].items()))
    print(json.dumps({"rules": {name: one.get("minus_as_it_is", {}) for name, one in told.items()}}))


if __name__ == "__main__":
    main()
