"""HTML pages from templates: one file each, that needs nothing else; whatever words come from users are escaped."""

from functools import lru_cache
from typing import Any


@lru_cache
def _environment() -> Any:
    from jinja2 import Environment, PackageLoader

    return Environment(loader=PackageLoader("loop.output", "."), autoescape=True, trim_blocks=True, lstrip_blocks=True)


def page(template: str, **context: Any) -> str:
    """A template of this room, filled in."""
    return str(_environment().get_template(template).render(**context))
