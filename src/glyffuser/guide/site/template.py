"""HTML from the templates beside this file."""

import html
import re
from functools import cache
from typing import Any

from glyffuser.base.errors import UserError


@cache
def _environment() -> Any:
    try:
        import jinja2
    except ImportError as error:
        raise UserError("jinja2 is missing; pip install 'glyffuser[guide]'") from error
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("glyffuser.guide.site"),
        undefined=jinja2.StrictUndefined,
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["signs"] = signs
    return environment


# x_t, x_0, x_(t−1), ᾱ_t: one letter, an underscore, and the subscript.
_SUBSCRIPT = re.compile(r"(?<![\w_])([a-zA-ZᾱαβγεσρτθμφψωΣ])_(?:\(([^)]*)\)|([0-9a-zA-Z]+))")


def signs(text: str) -> str:
    """A caption as HTML, with "x_t" and "x_(t−1)" set as subscripts, and a bar over the alpha of "ᾱ_t"."""
    text = _SUBSCRIPT.sub(lambda m: f'<i class="v">{m[1]}</i><sub>{m[2] or m[3]}</sub>', html.escape(text))
    return text.replace("ᾱ", '<span class="over">α</span>')


def render(template: str, **values: Any) -> str:
    """Fill in a template. Text is escaped; HTML goes through the filter `safe`."""
    return _environment().get_template(template).render(**values)
