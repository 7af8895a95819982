"""Pages: HTML files that need nothing else, of a template and one style; figures as they stand in them."""

from jinja2 import Environment, PackageLoader, StrictUndefined


def render_page(template: str, **values: object) -> str:
    """A page as text; a value that the template asks for and nobody gives is an error."""
    environment = Environment(
        loader=PackageLoader("pipelines"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template(template).render(**values)


def signed(value: float) -> str:
    """With its sign, the minus as typographers have it."""
    return f"{value:+.4f}".replace("-", "\N{MINUS SIGN}")
