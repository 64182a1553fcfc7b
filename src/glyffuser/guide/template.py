"""HTML from the templates beside this file."""

from functools import cache
from typing import Any

from glyffuser.errors import UserError


@cache
def _environment() -> Any:
    try:
        import jinja2
    except ImportError as error:
        raise UserError("jinja2 is missing; pip install 'glyffuser[guide]'") from error
    return jinja2.Environment(
        loader=jinja2.PackageLoader("glyffuser.guide"),
        undefined=jinja2.StrictUndefined,
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def render(template: str, **values: Any) -> str:
    """A template filled in. Text is escaped; HTML is passed through the filter `safe`."""
    return _environment().get_template(template).render(**values)
