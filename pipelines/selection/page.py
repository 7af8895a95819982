"""Page: a comparison as one HTML file that needs nothing else."""

from dataclasses import dataclass
from datetime import UTC, datetime

from markupsafe import Markup

from pipelines.evaluation import plots
from pipelines.pages import render_page
from pipelines.selection.compare import Compared
from pipelines.selection.recommendation import Rival
from pipelines.selection.record import Standing
from recsys_vae.outputs import marked_product
from recsys_vae.pages import charts
from recsys_vae.pages.formatting import interval, signed

WRITTEN = marked_product("a page by `recsys compare`", b'<meta name="generator" content="recsys compare">')
"""What a page may replace."""
DRAWN = 6
"""Models in the plots, as many as there are colours: what is recommended, then the best."""


@dataclass(frozen=True)
class Row:
    """One model of the table."""

    rival: Rival
    standing: Standing
    cells: tuple[str, ...]
    difference: str
    interval: str
    verdict: str
    drawn: Markup


def render(compared: Compared, command: str) -> str:
    """The page as text.

    Args:
        command: that trains what is recommended.
    """
    record, found = compared.record, compared.recommendation
    drawn = _drawn(compared)
    metrics = list(record.standings[found.pick].means)
    return render_page(
        "compare.html",
        compared=compared,
        found=found,
        command=command,
        metrics=metrics,
        rows=_rows(compared, metrics),
        history=_history(compared, drawn),
        reach=_reach(compared, drawn, metrics),
        failed=sorted({(one.model, one.reason) for one in record.done if one.value is None}),
        written=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
    )


def _rows(compared: Compared, metrics: list[str]) -> list[Row]:
    rivals, standings = compared.recommendation.rivals, compared.record.standings
    ends = [
        abs(end)
        for one in rivals
        if one.interval and one.interval.is_known
        for end in (one.interval.low, one.interval.high)
    ]
    reach = max([1e-9, *ends])
    return [_row(rival, standings[rival.model], metrics, reach, compared.recommendation.pick) for rival in rivals]


def _row(rival: Rival, standing: Standing, metrics: list[str], reach: float, pick: str) -> Row:
    cells = tuple(_figure(standing, metric) for metric in metrics)
    verdict = _verdict(rival, pick)
    found = rival.interval
    if found is None:
        return Row(rival, standing, cells, "the best", "", verdict, Markup(""))
    if not found.is_known:
        return Row(rival, standing, cells, signed(found.difference), "no interval", verdict, Markup(""))
    drawn = charts.interval(found.low, found.high, found.difference, reach)
    return Row(rival, standing, cells, signed(found.difference), interval(found.low, found.high), verdict, drawn)


def _verdict(rival: Rival, pick: str) -> str:
    if rival.model == pick:
        return "recommended"
    if rival.interval is None:
        return ""
    return "worse" if rival.is_worse else "not measurably worse"


def _figure(standing: Standing, metric: str) -> str:
    error = standing.errors.get(metric)
    return f"{standing.means[metric]:.4f}" + ("" if error is None else f" ± {error:.4f}")


def _drawn(compared: Compared) -> list[Standing]:
    """What is recommended first, then the best of the others."""
    found, standings = compared.recommendation, compared.record.standings
    others = [rival.model for rival in found.rivals if rival.model != found.pick]
    return [standings[model] for model in (found.pick, *others)[:DRAWN]]


def _history(compared: Compared, drawn: list[Standing]) -> str:
    series = [(one.model, one.by_history()) for one in drawn]
    metric = compared.recommendation.metric
    return plots.plot_groups("by-history", series, across="items in the history shown", metric=metric)


def _reach(compared: Compared, drawn: list[Standing], metrics: list[str]) -> str:
    coverage, novelty = (next(one for one in metrics if one.startswith(family)) for family in ("coverage", "novelty"))
    points = [(one.model, one.means[coverage], one.means[novelty]) for one in drawn]
    return plots.plot_reach(points, coverage=coverage, novelty=novelty)
