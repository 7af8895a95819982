"""Tables of docs/cold-start.md from the records: `python -m tests.benchmarks.cold_start_page docs/cold-start.md`.

The page holds a comment `<!-- table NAME -->` and, further down, `<!-- end of table -->` where a table goes.
"""

import re
import sys
from collections.abc import Sequence
from pathlib import Path

from recsys_vae.evaluation.bootstrap import Interval, paired_bootstrap
from recsys_vae.evaluation.cold_start import LENGTHS
from recsys_vae.recommender import POPULAR, POSTERIOR, PRIOR
from tests.benchmarks.cold_start import (
    LADDER,
    LIGHTFM,
    MULT_VAE,
    REC_VAE,
    TIERS,
    against,
    figure,
    mean_and_error,
    measured,
    new_items,
    single_tiers,
)
from tests.benchmarks.cold_start_items import NEW_ITEM_FIGURES
from tests.benchmarks.cold_start_peer import PEER_LENGTHS
from tests.benchmarks.records import existing

LISTS = {
    "new among new": "new items, lists of new items only",
    "new among all": "new items, lists of all items",
    "warm": "other items, lists of all items",
    "content": "other items, asked by users who were shown new items only",
}
"""What is asked about new items, in words."""


def tiers(metric: str) -> list[list[str]]:
    """Every tier, and the fallback chain beside it."""
    rows = [_head(metric, LENGTHS)]
    rows += [_values(name, metric, LENGTHS) for name in (LADDER, *TIERS, MULT_VAE)]
    for other in (*TIERS, MULT_VAE):
        asked = [length for length in LENGTHS if other == MULT_VAE or other in single_tiers(length)]
        rows.append(_gaps(LADDER, other, metric, LENGTHS, asked))
    rows.append(_gaps(POSTERIOR, MULT_VAE, metric, LENGTHS, LENGTHS))
    return [*rows, _gaps(PRIOR, POPULAR, metric, LENGTHS, LENGTHS)]


def hybrids() -> list[list[str]]:
    """Each hybrid beside the same model without metadata."""
    rows = [_head("", LENGTHS)]
    for metric in ("recall@20", "ndcg@100"):
        for name in (MULT_VAE, REC_VAE):
            hybrid = f"{name} hybrid"
            if measured(name) and measured(hybrid):
                rows += [_values(system, metric, LENGTHS, metric) for system in (name, hybrid)]
                rows.append(_gaps(hybrid, name, metric, LENGTHS, LENGTHS))
    return rows


def lightfm() -> list[list[str]]:
    """The peer beside the fallback chain."""
    rows = [_head("", PEER_LENGTHS)]
    for metric in ("recall@20", "ndcg@100"):
        rows += [_values(LIGHTFM, metric, PEER_LENGTHS, metric)]
        rows += [_gaps(LADDER, LIGHTFM, metric, PEER_LENGTHS, PEER_LENGTHS)]
    return rows


def about_new_items() -> list[list[str]]:
    """Every question about new items: the first answer minus each other."""
    rows = [["targets", "recall@20", "the first minus it, 95 %"]]
    for question, (first, *others) in NEW_ITEM_FIGURES.items():
        ours = new_items(question, first)
        rows.append([LISTS[question], _figure(first, mean_and_error(ours)), ""])
        for other in others:
            theirs = new_items(question, other)
            rows.append(["", _figure(other, mean_and_error(theirs)), _interval(paired_bootstrap(ours, theirs))])
    return rows


def by_sentences() -> list[list[str]]:
    """The model's answers where titles are sentences, and minus those where they are words."""
    rows = [["targets", "titles as sentences", "as words", "the first minus the second, 95 %"]]
    for question, (name, *_) in NEW_ITEM_FIGURES.items():
        sentences, words = new_items(question, name, "new-items-sentences"), new_items(question, name)
        figures = [_figure(name, mean_and_error(values)) for values in (sentences, words)]
        rows.append([LISTS[question], *figures, _interval(paired_bootstrap(sentences, words))])
    return rows


def decay() -> list[list[str]]:
    """Popularity with and without half-lives, on validation."""
    record = existing("cold-start", "decay")
    assert record is not None
    rows = [["half-life in days", *(f"`{tier}`, {metric}" for tier in ("popular", "segment") for metric in METRICS)]]
    for half_life, values in record["figures"]["validation"].items():
        figures = [f"{values[tier][metric]:.4f}" for tier in ("popular", "segment") for metric in METRICS]
        rows.append(["none" if half_life == "inf" else f"{float(half_life):,.0f}", *figures])
    return rows


METRICS = ("recall@20", "ndcg@100")
TABLES = {
    "recall": lambda: tiers("recall@20"),
    "ndcg": lambda: tiers("ndcg@100"),
    "hybrids": hybrids,
    "lightfm": lightfm,
    "new items": about_new_items,
    "sentences": by_sentences,
    "decay": decay,
}


def fill(page: Path) -> None:
    """Put every table where the page wants it."""
    text = page.read_text()
    for name, table in TABLES.items():
        place = re.compile(rf"(<!-- table {name} -->\n).*?(<!-- end of table -->)", re.DOTALL)
        text = place.sub(lambda found, table=table: f"{found[1]}{_markdown(table())}\n{found[2]}", text)
    page.write_text(text)


def _markdown(rows: list[list[str]]) -> str:
    lines = [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join([lines[0], "|" + "---|" * len(rows[0]), *lines[1:]])


def _head(name: str, lengths: Sequence[int]) -> list[str]:
    return [name, *(f"h = {length}" for length in lengths)]


def _values(system: str, metric: str, lengths: Sequence[int], suffix: str = "") -> list[str]:
    name = f"`{system}`" if system in TIERS else f"**{system}**" if system == LADDER else system
    figures = ("{:.4f} ± {:.4f}".format(*figure(system, length, metric)) for length in lengths)
    return [f"{name}, {suffix}" if suffix else name, *figures]


def _gaps(ours: str, theirs: str, metric: str, lengths: Sequence[int], asked: Sequence[int]) -> list[str]:
    gaps = (_interval(against(ours, theirs, length, metric)) if length in asked else "" for length in lengths)
    return [f"{ours} minus {theirs}", *gaps]


def _figure(name: str, value: Sequence[float]) -> str:
    return f"{name} {value[0]:.4f} ± {value[1]:.4f}"


def _interval(gap: Interval) -> str:
    return f"{gap.low:+.4f} to {gap.high:+.4f}"


if __name__ == "__main__":
    fill(Path(sys.argv[1]))
