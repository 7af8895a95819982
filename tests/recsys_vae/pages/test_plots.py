"""Plots by matplotlib on a page: in the colours of its style sheet."""

import re

import numpy as np

from pipelines.evaluation.plots import plot_latents, plot_reach
from recsys_vae.pages.environment import STYLES
from recsys_vae.pages.plots import NAMES, SERIES, series_class, themed
from recsys_vae.plot_style import colour


def test_every_colour_of_a_plot_is_one_of_the_sheet() -> None:
    points = [(str(place), place / 10, float(place)) for place in range(8)]
    for plot in (plot_reach(points, coverage="c", novelty="n"), plot_latents(np.ones(3, np.float32), 3)):
        assert re.search(r"(?:fill|stroke): #", plot)
        assert not re.search(r"(?:fill|stroke): #", themed(plot))


def test_the_sheet_has_every_colour_in_both_themes() -> None:
    sheet = (STYLES / "base.css").read_text()
    for name in NAMES.values():
        assert len(re.findall(rf"^ +--{name}: ", sheet, re.MULTILINE)) == 2, name


def test_a_swatch_has_the_colour_of_its_series() -> None:
    assert [series_class(place) for place in (0, 1, 5, 6)] == ["s1", "s2", "s6", "s2"]
    for place in range(8):
        assert f"s{SERIES.index(colour(place)) + 1}" == series_class(place)
