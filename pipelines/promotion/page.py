"""Page: a decision as one HTML file that needs nothing else."""

from dataclasses import dataclass

from markupsafe import Markup

from pipelines.pages import render_page
from pipelines.promotion.comparison import SliceResult
from pipelines.promotion.decision import Decision
from pipelines.promotion.guard_rails import RailResult
from recsys_vae.outputs import marked_product
from recsys_vae.pages import charts
from recsys_vae.pages.formatting import interval, signed

WRITTEN = marked_product("a page by `recsys promote`", b'<meta name="generator" content="recsys promote">')
"""What a page may replace."""


@dataclass(frozen=True)
class Row:
    """One line of the table of slices."""

    result: SliceResult
    interval: str
    tolerated: str
    drawn: Markup


def render(decision: Decision, name: str, version: str, champion: str | None) -> str:
    """The page as text.

    Args:
        name: of the registered model.
        version: of it that was to become champion.
        champion: the version that was champion; None where there was none.
    """
    return render_page(
        "decision.html",
        decision=decision,
        name=name,
        version=version,
        champion=champion,
        other="popularity" if champion is None else "champion",
        rows=_rows(decision.slices),
        rails=[(rail, _figure(rail.challenger), _figure(rail.champion), _state(rail)) for rail in decision.rails],
        limits=_limits(decision),
    )


def _rows(results: tuple[SliceResult, ...]) -> list[Row]:
    reach = max([1e-9, *(abs(end) for one in results for end in (one.low, one.high, one.margin) if end is not None)])
    return [_row(one, reach) for one in results]


def _row(result: SliceResult, reach: float) -> Row:
    if result.low is None or result.high is None:
        return Row(result, "no interval", signed(-result.margin), Markup(""))
    drawn = charts.interval(result.low, result.high, result.difference, reach, tolerated=-result.margin)
    return Row(result, interval(result.low, result.high), signed(-result.margin), drawn)


def _limits(decision: Decision) -> list[tuple[str, object]]:
    limits = decision.limits.model_dump(mode="json", exclude={"guard_rails"})
    rails = decision.limits.guard_rails.model_dump(mode="json")
    return [(key, _limit(value)) for key, value in limits.items()] + [
        (f"guard_rails.{key}", "not checked" if value is None else value) for key, value in rails.items()
    ]


def _limit(value: object) -> object:
    return "by default" if value is None else ", ".join(map(str, value)) if isinstance(value, list) else value


def _figure(value: float | None) -> str:
    return "" if value is None else f"{value:.3g}"


def _state(rail: RailResult) -> str:
    return "not judged: " + rail.note if rail.holds is None else "holds" if rail.holds else "broken"
