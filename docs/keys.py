"""Write docs/configuration.md: every key of a campaign's TOML file, from the docstrings beside it in the code.

python docs/keys.py            # writes the page
python docs/keys.py --check    # exit code 1 if the page is not what the code says
"""

import ast
import dataclasses
import inspect
import sys
import typing
from pathlib import Path
from typing import Any

from annotated_types import Ge, Gt, Le, Lt
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from janus_al.defaults import USUAL
from janus_al.fitting import TrainingConfig
from janus_al.inversion import InversionConfig
from loop.campaign.config import Budget, CampaignConfig, Dataset, Execution, Generate, Loop
from loop.campaign.sections import Feature, Microstructure, PhysicsSection, PropertyRow, Requirement, TargetSection

PAGE = Path(__file__).with_name("configuration.md")
INTRO = """# Every key of a campaign's configuration

Made by `python docs/keys.py` from the docstrings of the code; a test keeps it so. A file of examples is
`examples/quickstart.toml`; one with two physics is `examples/conduct-and-flex.toml`. Unknown keys are refused.
`--set section.key=value` overrides a key of the file for one run; a list, as of targets, it replaces whole.
"""


def sections() -> dict[str, type]:
    """The tables of the file and what describes them, in the order of the page."""
    network = typing.get_type_hints(CampaignConfig)["network"]
    return {
        "Top of the file": CampaignConfig,
        "`[microstructure]`": Microstructure,
        "`[[physics]]`": PhysicsSection,
        "`properties` of `[[physics]]`, where they are tables": PropertyRow,
        "`[dataset]`": Dataset,
        "`[dataset.generate]`": Generate,
        "`[[target]]`": TargetSection,
        "A property of `[[target]]`": Requirement,
        "`min_feature` of `[[target]]`, where it is a table": Feature,
        "`[budget]`": Budget,
        "`[loop]`": Loop,
        "`[network]`": network,
        "`[training]`": TrainingConfig,
        "`[inversion]`": InversionConfig,
        "`[execution]`": Execution,
    }


def docstrings(kind: type) -> dict[str, str]:
    """The string literal after each field of a class and of the classes it inherits from."""
    found: dict[str, str] = {}
    for cls in reversed(kind.__mro__[:-1]):
        if not cls.__module__.startswith(("loop", "janus_al")):
            continue
        (tree,) = ast.parse(inspect.getsource(cls)).body
        assert isinstance(tree, ast.ClassDef)
        for field, words in zip(tree.body, tree.body[1:], strict=False):
            named = isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)
            if named and isinstance(words, ast.Expr) and isinstance(words.value, ast.Constant):
                found[field.target.id] = " ".join(str(words.value.value).split())
    return found


def fields(kind: type) -> dict[str, FieldInfo]:
    """Name -> pydantic's description of every key."""
    return dict(getattr(kind, "model_fields", None) or kind.__pydantic_fields__)


def value_words(info: FieldInfo) -> str:
    """Type and range of a key."""
    hint = info.annotation
    if typing.get_origin(hint) is typing.Literal:
        words = " or ".join(f"`{value}`" for value in typing.get_args(hint))
    else:
        words = _kind(hint)
    for rule in info.metadata:
        for kind, sign in ((Ge, "≥"), (Gt, ">"), (Le, "≤"), (Lt, "<")):
            if isinstance(rule, kind):
                words += f", {sign} {getattr(rule, kind.__name__.lower())}"
    return words


def _kind(hint: Any) -> str:
    parts = [p for p in typing.get_args(hint) if p is not type(None)]
    names = {int: "whole number", float: "number", bool: "true or false", str: "text", Path: "path"}
    if hint in names:
        return names[hint]
    if typing.get_origin(hint) is tuple:
        return "list"
    if typing.get_origin(hint) is typing.Literal:
        return " or ".join(f"`{value}`" for value in parts)
    if typing.get_origin(hint) is typing.Annotated or len(parts) == 1:
        return _kind(parts[0])
    if len(parts) > 1:
        return " or ".join(dict.fromkeys(_kind(part) for part in parts))
    return "table" if dataclasses.is_dataclass(hint) or isinstance(hint, type) else "value"


def default_words(info: FieldInfo) -> str:
    """What a key is if it is left out."""
    if info.is_required():
        return "required"
    value = info.get_default(call_default_factory=True)
    if value is None or value == () or value == "":
        return "none"
    if dataclasses.is_dataclass(value) or isinstance(value, BaseModel):
        return "as below"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    return f"`{list(value)}`" if isinstance(value, tuple) else f"`{value}`"


def page() -> str:
    """The whole page.

    Raises:
        ValueError: a key has no docstring.
    """
    text = [INTRO]
    for title, kind in sections().items():
        described = docstrings(kind)
        about = (inspect.getdoc(kind) or "").splitlines()[0]
        text.append(f"## {title}\n\n{about}\n\n| key | value | default | is |\n|---|---|---|---|")
        for key, info in fields(kind).items():
            if key not in described:
                raise ValueError(f"{kind.__name__}.{key}: it has no docstring; say what it is, in one line")
            default = default_words(info)
            for images, settings in USUAL.items():
                if key in (own := settings.get(title.strip("`[]"), {})):
                    default += f"; {images}: `{own[key]}`"
            cells = (f"`{key}`", value_words(info), default, described[key].replace("|", "\\|"))
            text.append("| " + " | ".join(cells) + " |")
        text.append("")
    return "\n".join(text)


def main() -> None:
    """Write the page, or compare."""
    if "--check" in sys.argv:
        sys.exit(PAGE.read_text(encoding="utf-8") != page())
    PAGE.write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
