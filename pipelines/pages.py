"""Pages: HTML files that need nothing else, of a template and the style sheet inside of it."""

from pathlib import Path
from typing import Final

from recsys_vae.pages.environment import make_environment

TEMPLATES: Final = Path(__file__).parent / "templates"


def render_page(template: str, **values: object) -> str:
    """A page as text; a value that the template asks for and nobody gives is an error."""
    return make_environment(TEMPLATES).get_template(template).render(**values) + "\n"
