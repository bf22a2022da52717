"""A package's front door: its public names, each imported from its module when it is first asked for (PEP 562)."""

import importlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any


def attach(
    package: str, homes: Mapping[str, str], own: Sequence[str] = ()
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """The package's `__getattr__` and `__dir__`.

    Args:
        package: its name.
        homes: by module of the package, the names it gives, separated by spaces.
        own: public names that the package itself defines.
    """
    home = {name: f"{package}.{module}" for module, names in homes.items() for name in names.split()}

    def find(name: str) -> Any:
        if name in home:
            return getattr(importlib.import_module(home[name]), name)
        from janus_al.errors import nearest

        offered = sorted([*home, *own])
        like = nearest(name, offered)
        mend = f"did you mean {like}?" if like else f"it offers {', '.join(offered)}"
        raise AttributeError(f"{package} has no '{name}'; {mend}")

    return find, lambda: sorted([*home, *own])
