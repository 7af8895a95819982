"""Charts: inline SVG, drawn from numbers alone. Each has a title, and the same numbers as a table beneath it.

Colours and widths are classes of the style sheet, so that charts follow the theme; series differ by their dashes too.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, floor, isfinite, log10
from typing import Final

from markupsafe import Markup, escape

from recsys_vae.pages.formatting import interval as ends
from recsys_vae.pages.formatting import number

WIDTH, HEIGHT, LEFT, BOTTOM, TOP, RIGHT = 640, 240, 56, 28, 10, 12
MOST_SERIES: Final = 4
TICKS: Final = 4
LABELS: Final = 6
FITS_BEFORE: Final = 16
"""Characters of a first label that may stand half before its place."""
BAR, LABEL_WIDTH = 26, 180
INTERVAL_WIDTH: Final = 160


@dataclass(frozen=True)
class Series:
    """A line.

    Attributes:
        name: in the legend and the table.
        values: one a place; None where there is none, which leaves a gap.
        lower: of the band around it; none for no band.
        upper: likewise.
    """

    name: str
    values: Sequence[float | None]
    lower: Sequence[float | None] | None = None
    upper: Sequence[float | None] | None = None


@dataclass(frozen=True)
class Scale:
    """From numbers to places on an axis.

    Attributes:
        least: number at `start`.
        most: number at `end`.
    """

    least: float
    most: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        """Where a number stands."""
        share = (value - self.least) / (self.most - self.least) if self.most > self.least else 0.5
        return round(self.start + share * (self.end - self.start), 2)


def line(
    title: str, labels: Sequence[str], series: Sequence[Series], digits: int = 2, *, from_zero: bool = False
) -> Markup:
    """Lines with their bands over labelled places.

    Args:
        title: of the chart.
        labels: of the places from left to right, as many as each series has values.
        series: four at most.
        digits: of the numbers, after the point.
        from_zero: whether the axis begins at 0, as for rates and times.

    Raises:
        ValueError: there are more series than can be told apart.
    """
    if len(series) > MOST_SERIES:
        raise ValueError(f"{len(series)} series cannot be told apart; a chart has {MOST_SERIES} at most")
    found = [value for one in series for part in (one.values, one.lower, one.upper) for value in part or ()]
    known = [value for value in found if value is not None and isfinite(value)]
    if not known:
        return _nothing(title)
    are_whole = all(value == round(value) for value in known)
    ticks = _ticks(min(0.0, *known) if from_zero else min(known), max(known), smallest=1.0 if are_whole else 0.0)
    across = Scale(0, max(1, len(labels) - 1), LEFT, WIDTH - RIGHT)
    up = Scale(ticks[0], ticks[-1], HEIGHT - BOTTOM, TOP)
    drawn = Markup("").join(
        _band(one, place, across, up) + _path(one.values, across, up, f"line s{place} dash{place}")
        for place, one in enumerate(series, start=1)
    )
    inside = _grid(ticks, up, digits) + _places(labels, across) + drawn
    rows = [[label, *(_text(one.values[place], digits) for one in series)] for place, label in enumerate(labels)]
    return _figure(title, inside, ["", *(one.name for one in series)], rows, legend=[one.name for one in series])


def bars(title: str, labels: Sequence[str], values: Sequence[float], digits: int = 0, unit: str = "") -> Markup:
    """Horizontal bars, one a label; numbers below 0 count as 0."""
    if not len(values):
        return _nothing(title)
    across = Scale(0, max(*values, 1e-12), 0, WIDTH - LABEL_WIDTH - 80)
    inside = Markup("")
    for place, (label, value) in enumerate(zip(labels, values, strict=True)):
        y, width = place * BAR, max(0.0, across(max(0.0, value)))
        short = label if len(label) <= 26 else f"{label[:25]}…"
        inside += Markup(
            '<text x="{}" y="{}" text-anchor="end">{}</text>'
            '<rect class="s1" x="{}" y="{}" width="{}" height="{}" rx="2"/>'
            '<text class="value" x="{}" y="{}">{}</text>'
        ).format(
            LABEL_WIDTH - 8, y + 17, short, LABEL_WIDTH, y + 4, width, BAR - 8, LABEL_WIDTH + width + 6, y + 17,
            _text(value, digits) + unit,
        )  # fmt: skip
    rows = [[label, _text(value, digits) + unit] for label, value in zip(labels, values, strict=True)]
    return _figure(title, inside, ["", "value"], rows, height=BAR * len(values))


def histogram(title: str, edges: Sequence[float], counts: Sequence[float], digits: int = 0) -> Markup:
    """Bars between edges, of which there is one more than counts."""
    if not len(counts):
        return _nothing(title)
    ticks = _ticks(0.0, max([1.0, *counts]), smallest=1.0)
    across, up = Scale(0, len(counts), LEFT, WIDTH - RIGHT), Scale(0, ticks[-1], HEIGHT - BOTTOM, TOP)
    drawn = Markup("").join(
        Markup('<rect class="s1" x="{}" y="{}" width="{}" height="{}"/>').format(
            across(place) + 1, up(count), max(1.0, across(place + 1) - across(place) - 2), round(up(0) - up(count), 2)
        )
        for place, count in enumerate(counts)
    )
    names = [number(edge, digits) for edge in edges]
    inside = _grid(ticks, up, 0) + _places(names, across) + drawn
    rows = [[f"{names[place]} to {names[place + 1]}", number(count)] for place, count in enumerate(counts)]
    return _figure(title, inside, ["from, to", "count"], rows)


def sparkline(title: str, values: Sequence[float | None]) -> Markup:
    """A line without axes, for a row of a table; the title says what it shows."""
    known = [value for value in values if value is not None and isfinite(value)]
    if not known:
        return Markup("")
    across, up = Scale(0, max(1, len(values) - 1), 2, 110), Scale(min(known), max(known), 26, 2)
    drawn = _path(values, across, up, "line s1")
    return Markup('<svg class="spark" viewBox="0 0 112 28" role="img" aria-label="{}">{}</svg>').format(title, drawn)


def interval(low: float, high: float, middle: float, reach: float, *, tolerated: float | None = None) -> Markup:
    """An interval of differences beside zero, for a row of a table.

    Args:
        low: its lower end.
        high: its upper end.
        middle: the difference itself.
        reach: the largest number, either way, that any row of the table shows.
        tolerated: what the interval may not lie wholly below, drawn dashed.
    """
    across = Scale(-reach, reach, 8, INTERVAL_WIDTH - 8)
    limit = Markup("")
    if tolerated is not None:
        limit = Markup('<line class="tolerated" x1="{0}" x2="{0}" y1="0" y2="16"/>').format(across(tolerated))
    return Markup(
        '<svg class="interval" viewBox="0 0 {0} 16" width="{0}" height="16" role="img" aria-label="{1}">'
        '<line class="zero" x1="{2}" x2="{2}" y1="0" y2="16"/>{3}'
        '<line class="ends" x1="{4}" x2="{5}" y1="8" y2="8"/><circle cx="{6}" cy="8" r="3.5"/></svg>'
    ).format(INTERVAL_WIDTH, ends(low, high), across(0), limit, across(low), across(high), across(middle))


def _band(one: Series, place: int, across: Scale, up: Scale) -> Markup:
    if one.lower is None or one.upper is None:
        return Markup("")
    edges = [
        (across(x), up(low), up(high))
        for x, (low, high) in enumerate(zip(one.lower, one.upper, strict=True))
        if low is not None and high is not None and isfinite(low) and isfinite(high)
    ]
    corners = [(x, high) for x, _, high in edges] + [(x, low) for x, low, _ in reversed(edges)]
    return Markup('<polygon class="band s{}" points="{}"/>').format(place, " ".join(f"{x},{y}" for x, y in corners))


def _path(values: Sequence[float | None], across: Scale, up: Scale, style: str) -> Markup:
    steps, is_drawing = [], False
    for place, value in enumerate(values):
        if value is None or not isfinite(value):
            is_drawing = False
            continue
        steps.append(f"{'L' if is_drawing else 'M'}{across(place)} {up(value)}")
        if not is_drawing:
            steps.append("h0.01")  # a value between gaps is a dot
        is_drawing = True
    return Markup('<path class="{}" d="{}"/>').format(style, "".join(steps))


def _grid(ticks: Sequence[float], up: Scale, digits: int) -> Markup:
    """Horizontal lines with their numbers."""
    step = ticks[1] - ticks[0]
    exact = next((places for places in range(12) if abs(round(step, places) - step) < 1e-6 * step), 12)
    shown = max(digits, exact)
    return Markup("").join(
        Markup(
            '<line class="grid" x1="{}" x2="{}" y1="{}" y2="{}"/><text x="{}" y="{}" text-anchor="end">{}</text>'
        ).format(LEFT, WIDTH - RIGHT, up(tick), up(tick), LEFT - 8, up(tick) + 4, number(tick, shown))
        for tick in ticks
    )


def _places(labels: Sequence[str], across: Scale) -> Markup:
    """Labels below, as many as there is room for; in a narrow window every other one."""
    step = max(1, ceil(len(labels) / LABELS))
    shown = Markup("")
    for turn, place in enumerate(range(0, len(labels), step)):
        spared = Markup(' class="between"') if turn % 2 else ""
        shown += Markup('<text{} x="{}" y="{}" text-anchor="{}">{}</text>').format(
            spared, across(place), HEIGHT - 8, _anchor(place, labels), labels[place]
        )
    return shown


def _anchor(place: int, labels: Sequence[str]) -> str:
    """Which end of a label stands at its place, so that nothing of it is cut off."""
    if place == 0:
        return "start" if len(labels[0]) > FITS_BEFORE else "middle"
    return "end" if place == len(labels) - 1 else "middle"


def _ticks(least: float, most: float, *, smallest: float = 0.0) -> list[float]:
    """Round numbers from below the least to above the most, at least so far apart."""
    span = most - least or abs(most) or 1.0
    rough = max(span / TICKS, 1e-300)  # below it there is no logarithm
    power = 10.0 ** floor(log10(rough))
    step = max(smallest, next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= rough))
    first, last = floor(least / step), max(ceil(most / step), floor(least / step) + 1)
    return [place * step for place in range(first, last + 1)]


def _text(value: float | None, digits: int) -> str:
    return number(value, digits)


def _figure(
    title: str,
    inside: Markup,
    head: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    height: int = HEIGHT,
    legend: Sequence[str] = (),
) -> Markup:
    """A chart with its title, legend and table."""
    names = Markup("").join(
        Markup(
            '<li><svg viewBox="0 0 24 8" aria-hidden="true"><path class="line s{} dash{}" d="M1 4H23"/></svg>{}</li>'
        ).format(place, place, name)
        for place, name in enumerate(legend, start=1)
    )
    return Markup(
        '<figure class="chart"><figcaption>{}</figcaption><svg viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>'
        "{}"
        "<details><summary>As a table</summary>{}</details></figure>"
    ).format(
        title, WIDTH, height, f"{title}; the table below has its numbers", inside,
        Markup('<ul class="legend">{}</ul>').format(names) if len(legend) > 1 else "", _table(title, head, rows),
    )  # fmt: skip


def _table(title: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> Markup:
    names = Markup("").join(Markup('<th scope="col">{}</th>').format(name or "at") for name in head)
    body = Markup("").join(
        Markup('<tr><th scope="row">{}</th>{}</tr>').format(
            row[0], Markup("").join(Markup('<td class="n">{}</td>').format(cell) for cell in row[1:])
        )
        for row in rows
    )
    return Markup(
        '<div class="table-box" tabindex="0" role="region" aria-label="{}"><table><thead><tr>{}</tr></thead>'
        "<tbody>{}</tbody></table></div>"
    ).format(title, names, body)


def _nothing(title: str) -> Markup:
    return Markup('<figure class="chart"><figcaption>{}</figcaption><p class="empty">Nothing yet.</p></figure>').format(
        escape(title)
    )
