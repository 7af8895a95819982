"""Page: a comparison as one HTML file that needs nothing else."""

from dataclasses import dataclass
from datetime import UTC, datetime

from pipelines.evaluation import plots
from pipelines.pages import render_page, signed
from pipelines.selection.compare import Compared
from pipelines.selection.recommendation import Rival
from pipelines.selection.record import Standing
from recsys_vae.outputs import marked_product

WRITTEN = marked_product("a page by `recsys compare`", b'<meta name="generator" content="recsys compare">')
"""What a page may replace."""
WIDTH, PADDING = 200.0, 8.0
"""Of the small pictures of intervals, in pixels."""
DRAWN = 6
"""Models in the plots, as many as there are colours: what is recommended, then the best."""


@dataclass(frozen=True)
class Bar:
    """An interval as a picture: places from left to right, in pixels."""

    low: float
    high: float
    middle: float
    zero: float


@dataclass(frozen=True)
class Row:
    """One model of the table."""

    rival: Rival
    standing: Standing
    cells: tuple[str, ...]
    difference: str
    interval: str
    verdict: str
    bar: Bar | None


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
        width=WIDTH,
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
    interval = rival.interval
    if interval is None:
        return Row(rival, standing, cells, "the best", "", verdict, None)
    if not interval.is_known:
        return Row(rival, standing, cells, signed(interval.difference), "no interval", verdict, None)

    def place(value: float) -> float:
        return round(PADDING + (value / reach + 1) / 2 * (WIDTH - 2 * PADDING), 1)

    bar = Bar(place(interval.low), place(interval.high), place(interval.difference), place(0.0))
    ends = f"{signed(interval.low)} to {signed(interval.high)}"
    return Row(rival, standing, cells, signed(interval.difference), ends, verdict, bar)


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
