"""The latent map as a picture to click: a point an example, coloured by label, and a ring where one is decoded.

It is an image within a form, so a click sends its place without a script. Such a picture knows no style sheet: its
colours stand out on light and dark ground alike.
"""

from base64 import b64encode
from typing import Final

from markupsafe import Markup

from service.ui.image_models import Plane

SIDE: Final = 320
"""Of the picture in pixels, at every width of the window: clicks are told in pixels of the screen."""
COLOURS: Final = (
    "#4c72d8", "#d9702c", "#2f9e5b", "#c2477f", "#8a63c9", "#b5892b", "#2f9aa8", "#c94f4f", "#7a8c3a", "#7f7f87",
)  # fmt: skip
RING: Final = "#808080"


def address(plane: Plane, labels: list[int], at: tuple[float, float] | None) -> str:
    """The picture as an address, `data:image/svg+xml;base64,...`.

    Args:
        plane: of the codes.
        labels: one a point; empty where there are none.
        at: where the ring is, each coordinate in -1 to 1; None for no ring.
    """
    dots = Markup("").join(
        Markup('<circle cx="{:.1f}" cy="{:.1f}" r="3.5" fill="{}" fill-opacity="0.85"/>').format(
            *_place(x / plane.reach, y / plane.reach), colour(labels[number] if labels else 0)
        )
        for number, (x, y) in enumerate(plane.points.tolist())
    )
    axes = Markup('<path d="M{0} 0V{1}M0 {0}H{1}" stroke="{2}" stroke-opacity="0.4"/>').format(SIDE / 2, SIDE, RING)
    ring = Markup("") if at is None else _ring(*_place(*at))
    whole = Markup('<svg xmlns="http://www.w3.org/2000/svg" width="{0}" height="{0}">{1}</svg>').format(
        SIDE, axes + dots + ring
    )
    return f"data:image/svg+xml;base64,{b64encode(whole.encode()).decode()}"


def colour(label: int) -> str:
    """Of a label; they come again after ten."""
    return COLOURS[label % len(COLOURS)]


def clicked(x: str | None, y: str | None) -> tuple[float, float] | None:
    """Where a click was, each coordinate in -1 to 1; None where it was none, as of a key pressed on the picture."""
    if not (x and y and x.isascii() and y.isascii() and x.isdigit() and y.isdigit()) or x == y == "0":
        return None
    if max(len(x), len(y)) > 4:
        return None
    return min(2 * int(x) / SIDE - 1, 1.0), max(1 - 2 * int(y) / SIDE, -1.0)


def _place(x: float, y: float) -> tuple[float, float]:
    return (1 + x) * SIDE / 2, (1 - y) * SIDE / 2


def _ring(x: float, y: float) -> Markup:
    return Markup(
        '<circle cx="{0:.1f}" cy="{1:.1f}" r="8" fill="none" stroke="#ffffff" stroke-width="5"/>'
        '<circle cx="{0:.1f}" cy="{1:.1f}" r="8" fill="none" stroke="#111111" stroke-width="2.5"/>'
    ).format(x, y)
