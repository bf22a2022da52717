"""The site's navigation, made of the folders there are, and its pages that are made of other files.

A page in docs/how-to, docs/results or docs itself appears by itself, under its own title. The cards, the changelog, the
examples, the commands' help and the Python API become pages when the site is built. Links that lead out of docs/ lead
to these pages, or, where the site has none, are plain words.
"""

import importlib
import os
import re
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

DOCS = Path(__file__).parent
ROOT = DOCS.parent
ELSEWHERE = {
    "data.md": "data/README.md",
    "mlflow.md": "mlflow/README.md",
    "contributing.md": "CONTRIBUTING.md",
    "changelog.md": "CHANGELOG.md",
}
"""pages of the site, and the files of the repository that they are"""
API = ("loop", "janus_al", "simulators")
CONCEPTS = ("concepts.md", "targets.md", "physics.md", "validation.md", "limits.md")
REFERENCE = ("commands.md", "configuration.md", "python.md", "data.md", "mlflow.md")
PROJECT = ("design.md", "contributing.md", "changelog.md")
LINK = re.compile(r"(?<!!)\[([^\]]*)\]\(([^)#\s:]+)(#[^)\s]*)?\)")
PICTURE = re.compile(r"!\[([^\]]*)\]\(([^)#\s:]+)\)")


def examples() -> list[Path]:
    """The scripts and campaigns of examples/."""
    return sorted(path for path in (ROOT / "examples").iterdir() if path.suffix in (".py", ".toml"))


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """The navigation: what is named above in its order, and everything else that there is."""
    how_to = [f"how-to/{path.name}" for path in sorted((DOCS / "how-to").glob("*.md"))]
    named = {"index.md", *CONCEPTS, *REFERENCE, *PROJECT}
    parts = [path.name for path in sorted(DOCS.glob("*.md")) if path.name not in named]
    results = [f"results/{path.name}" for path in sorted((DOCS / "results").glob("*.md"))]
    scripts = [f"examples/{path.name}.md" for path in examples()]
    config.nav = [
        {"Start": "index.md"},
        {"How to": [*how_to, *parts]},
        {"Concepts": list(CONCEPTS)},
        {"Reference": [*REFERENCE, {"Python API": [f"api/{name}.md" for name in API]}, {"Examples": scripts}]},
        {"Results": results},
        {"Project": list(PROJECT)},
    ]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that no file in docs/ holds."""
    pages = {name: (ROOT / source).read_text(encoding="utf-8") for name, source in ELSEWHERE.items()}
    pages |= {f"examples/{path.name}.md": _listing(path) for path in examples()}
    pages |= {f"api/{name}.md": _api(name) for name in API}
    pages["commands.md"] = _commands()
    for name, text in pages.items():
        files.append(File.generated(config, name, content=text))
    for picture in sorted((ROOT / "mlflow").glob("*.png")):
        files.append(File.generated(config, f"mlflow/{picture.name}", abs_src_path=str(picture)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Links as the repository has them, as links of the site."""
    uri = page.file.src_uri
    source = ROOT / ELSEWHERE[uri] if uri in ELSEWHERE else DOCS / uri
    if uri == "commands.md" or uri.startswith(("api/", "examples/")):
        return markdown

    def link(found: re.Match[str]) -> str:
        words, path, anchor = found.groups()
        target = (source.parent / path).resolve()
        if not target.exists():
            return found[0]
        place = _place(target)
        if place is None:
            return words
        return f"[{words}]({os.path.relpath(place, Path(uri).parent).replace(os.sep, '/')}{anchor or ''})"

    def picture(found: re.Match[str]) -> str:
        target = (source.parent / found[2]).resolve()
        place = target.relative_to(DOCS if target.is_relative_to(DOCS) else ROOT)
        return f"![{found[1]}]({os.path.relpath(place, Path(uri).parent)})"

    return PICTURE.sub(picture, LINK.sub(link, markdown))


def _place(path: Path) -> str | None:
    """Where the site has a file of the repository; None where it has not."""
    pages = {str(ROOT / source): name for name, source in ELSEWHERE.items()}
    pages |= {str(example): f"examples/{example.name}.md" for example in examples()}
    if str(path) in pages:
        return pages[str(path)]
    if path == ROOT / "README.md":
        return "index.md"
    return str(path.relative_to(DOCS)) if path.is_relative_to(DOCS) else None


def _listing(path: Path) -> str:
    language = {".py": "python", ".toml": "toml"}[path.suffix]
    return f"# {path.name}\n\n```{language}\n{path.read_text(encoding='utf-8')}```\n"


def _api(name: str) -> str:
    package = importlib.import_module(name)
    title = f"# {name}\n\n{_summary(package)}\n\n"
    return title + "\n\n".join(f"::: {_home(package, member)}" for member in package.__all__) + "\n"


def _summary(package: Any) -> str:
    lines = [f"    {line}" if line.startswith("    ") else line for line in package.__doc__.splitlines()]
    return "\n".join(line.removeprefix("    ") if line.startswith("        ") else line for line in lines)


def _home(package: Any, name: str) -> str:
    """The full name of what a package exports."""
    found = getattr(package, name)
    home = getattr(found, "__module__", None)
    return (
        f"{home}.{getattr(found, '__qualname__', name)}" if home and callable(found) else f"{package.__name__}.{name}"
    )


def _commands() -> str:
    """Every command's help, as the program prints it."""
    from typer.main import get_command

    from loop.commands.main import app

    parts = ["# Every command", ""]

    def tell(command: Any, name: str, context: Any) -> None:
        own = context.__class__(command, info_name=name.rpartition(" ")[2], parent=context, terminal_width=100)
        if hasattr(command, "commands"):
            for word, inner in command.commands.items():
                tell(inner, f"{name} {word}", own)
        else:
            parts.extend([f"## {name}", "", "```text", command.get_help(own).rstrip(), "```", ""])

    root = get_command(app)
    context = root.make_context("janus-al", ["doctor"])
    for word, command in root.commands.items():  # type: ignore[attr-defined]
        tell(command, f"janus-al {word}", context)
    return "\n".join(parts)
