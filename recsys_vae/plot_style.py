"""How plots and pictures look: one palette and one set of matplotlib settings for every figure of the project."""

from typing import Any

OURS, OTHERS = "#0b6e4f", ("#c8553d", "#3d5a98", "#8a6d1d", "#6b4c8a", "#555555")
"""What a plot is about, then what it is compared with: apart also in grey and for colour-blind eyes, by marker."""
MARKERS = ("o", "s", "D", "^", "v", "P")
INK, SOFT, AXIS, FAINT = "#1d2327", "#5b656e", "#8b949c", "#d5d9dd"

STYLE: Any = {
    "font.family": "sans-serif",
    "font.sans-serif": ["Helvetica Neue", "Arial", "Liberation Sans", "DejaVu Sans"],
    "font.size": 10,
    "svg.fonttype": "none",
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": AXIS,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.titlesize": 10,
    "grid.color": FAINT,
    "grid.linewidth": 0.6,
    "xtick.color": SOFT,
    "ytick.color": SOFT,
    "legend.frameon": False,
}
"""For `matplotlib.rc_context`: nothing global is changed."""


def colour(place: int) -> str:
    """Of what stands at a place: 0 is what the plot is about."""
    return OURS if place == 0 else OTHERS[(place - 1) % len(OTHERS)]
