"""Charts: what is drawn where, what stands in the table, and that names are text."""

import re

import pytest

from recsys_vae.pages.charts import (
    BOTTOM,
    HEIGHT,
    LEFT,
    RIGHT,
    TOP,
    WIDTH,
    Series,
    bars,
    histogram,
    interval,
    line,
    sparkline,
)

HOSTILE = '<script>"&'


def cells(chart: str) -> list[str]:
    return re.findall(r"<t[hd][^>]*>([^<]*)</t[hd]>", chart.partition("<table>")[2])


def test_a_line_reaches_from_corner_to_corner_and_its_numbers_stand_beneath() -> None:
    chart = line("ndcg", ["v1", "v2"], [Series("all", [0.0, 4.0], [0.0, 3.0], [1.0, 4.0])])
    left, right, top, bottom = float(LEFT), float(WIDTH - RIGHT), float(TOP), float(HEIGHT - BOTTOM)
    quarter = (bottom - top) / 4
    corners = [(left, bottom - quarter), (right, top), (right, bottom - 3 * quarter), (left, bottom)]
    assert f'd="M{left} {bottom}h0.01L{right} {top}"' in chart
    assert f'points="{" ".join(f"{x},{y}" for x, y in corners)}"' in chart
    assert cells(chart) == ["at", "all", "v1", "0.00", "v2", "4.00"]
    assert 'role="img" aria-label="ndcg; the table below has its numbers"' in chart


def test_a_value_that_is_missing_is_a_gap() -> None:
    chart = line("t", ["a", "b", "c"], [Series("s", [1.0, None, float("nan")]), Series("r", [2.0, 2.0, 2.0])])
    assert chart.count("M") - chart.count("M1 4H23") == 2
    assert "\N{EN DASH}" in cells(chart)
    assert '<ul class="legend">' in chart


def test_the_axis_of_rates_begins_at_nothing() -> None:
    chart = line("t", ["a", "b"], [Series("s", [3.0, 4.0])], 0, from_zero=True)
    assert [float(one) for one in re.findall(r'<text x="48" [^>]*>([\d.]+)<', chart)] == [0, 1, 2, 3, 4]


def test_numbers_of_the_grid_are_not_rounded_away() -> None:
    for values, ticks in (([0, 10], [0, 2.5, 5, 7.5, 10]), ([0, 0.1], [0, 0.025, 0.05, 0.075, 0.1])):
        chart = line("t", ["a", "b"], [Series("s", values)], 0)
        assert [float(one) for one in re.findall(r'<text x="48" [^>]*>([\d.]+)<', chart)] == ticks


def test_the_axis_of_whole_numbers_has_no_parts_of_them() -> None:
    chart = line("t", ["2026-11-29", "2026-11-30"], [Series("s", [0.0, 1.0])], 0)
    assert re.findall(r'<text x="48" [^>]*>([\d.]+)<', chart) == ["0", "1"]
    assert 'text-anchor="middle">2026-11-29<' in chart


def test_bars_are_as_long_as_their_numbers() -> None:
    chart = bars("shares", ["a", "b", "c"], [4, 1, -1], unit=" %")
    widths = [float(width) for width in re.findall(r'<rect[^>]* width="([\d.]+)"', chart)]
    assert widths[0] == 4 * widths[1] > widths[2] == 0
    assert cells(chart) == ["at", "value", "a", "4 %", "b", "1 %", "c", "\N{MINUS SIGN}1 %"]


def test_a_histogram_has_a_bar_between_two_edges() -> None:
    chart = histogram("lengths", [0, 10, 20], [3, 6])
    heights = [float(height) for height in re.findall(r'<rect[^>]* height="([\d.]+)"', chart)]
    assert heights[1] == pytest.approx(2 * heights[0])
    assert cells(chart) == ["from, to", "count", "0 to 10", "3", "10 to 20", "6"]


def test_nothing_is_said_where_there_is_nothing() -> None:
    for chart in (
        line("t", [], []),
        line("t", ["a"], [Series("s", [None])]),
        bars("t", [], []),
        histogram("t", [0], []),
    ):
        assert "Nothing yet." in chart
    assert sparkline("t", [None]) == ""
    assert "<path" in sparkline("t", [1.0])
    with pytest.raises(ValueError, match="cannot be told apart"):
        line("t", ["a"], [Series(str(number), [1.0]) for number in range(5)])


def test_names_are_text_and_nothing_is_styled_inline() -> None:
    charts = [
        line(HOSTILE, [HOSTILE], [Series(HOSTILE, [1.0]), Series("b", [2.0])]),
        bars(HOSTILE, [HOSTILE], [1.0], unit=HOSTILE),
        histogram(HOSTILE, [0, 1], [1]),
        sparkline(HOSTILE, [1.0, 2.0]),
        bars(HOSTILE, [], []),
    ]
    assert not [chart for chart in charts if "<script" in chart or "style=" in chart]


def test_an_interval_lies_beside_zero_and_what_is_tolerated() -> None:
    chart = interval(-1.0, 2.0, 0.5, 2.0, tolerated=-2.0)
    places = {
        name: re.search(rf'class="{name}" x1="([\d.]+)" x2="([\d.]+)"', chart) for name in ("zero", "tolerated", "ends")
    }
    found = {name: tuple(map(float, place.groups())) for name, place in places.items() if place}
    assert found == {"zero": (80, 80), "tolerated": (8, 8), "ends": (44, 152)}
    assert 'cx="98.0"' in chart
    assert 'aria-label="\N{MINUS SIGN}1.0000 to +2.0000"' in chart
    assert "tolerated" not in interval(0.0, 1.0, 0.5, 1.0)
