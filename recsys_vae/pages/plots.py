"""Plots: SVG by matplotlib as it stands on a page, in the colours of the style sheet, so that it follows the theme."""

import re
from typing import Final

from markupsafe import Markup

from recsys_vae.plot_style import AXIS, FAINT, INK, OTHERS, OURS, SOFT

SERIES: Final = (OURS, *OTHERS)
NAMES: Final = {INK: "ink", SOFT: "quiet", AXIS: "strong-line", FAINT: "line"} | {
    colour: f"series-{place}" for place, colour in enumerate(SERIES, start=1)
}
"""Of the style sheet, by the colours of plot_style.py."""


def themed(svg: str) -> Markup:
    """A plot drawn in the colours of plot_style.py, with those of the page that it stands on in their place."""
    return Markup(re.sub(r"#[0-9a-f]{6}\b", lambda found: _named(found[0]), svg))


def series_class(place: int) -> str:
    """The class of the style sheet for what `plot_style.colour` gives a place."""
    return f"s{1 if place == 0 else (place - 1) % len(OTHERS) + 2}"


def _named(colour: str) -> str:
    return f"var(--{NAMES[colour]})" if colour in NAMES else colour
