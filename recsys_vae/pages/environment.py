"""Environment: what makes pages of templates. What is put into one is text: escaping is never off."""

from pathlib import Path
from typing import Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from recsys_vae.pages.formatting import FILTERS
from recsys_vae.pages.plots import series_class, themed

FOLDER: Final = Path(__file__).parent
STYLES: Final = FOLDER / "styles"
"""Where `base.css` lies, the one style sheet: linked by pages under /ui, inside of reports."""


def make_environment(templates: Path) -> Environment:
    """Templates of a folder, beside them `components.html` and `base.css`; a value that nobody gives is an error."""
    made = Environment(
        loader=FileSystemLoader([templates, FOLDER / "templates", STYLES]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    made.filters |= FILTERS | {"themed": themed, "series_class": series_class}
    return made
