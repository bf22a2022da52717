"""What pages of the documentation show: commands, and blocks of code to run in order."""

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGES = sorted(
    path.relative_to(ROOT).as_posix()
    for path in (*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), ROOT / "data/README.md", ROOT / "mlflow/README.md")
)
FENCE = re.compile(
    r"(?:<!-- not run: (?P<reason>[^>]+) -->\n)?"
    r"```(?P<language>\w+)(?: title=\"(?P<title>[^\"]+)\")?\n(?P<code>.*?)\n```",
    re.DOTALL,
)
INLINE = re.compile(r"`(janus-al [^`]+)`")


@dataclass(frozen=True)
class Block:
    """Code between fences: its language, the file that its title names, and why it is not run, if it is not."""

    language: str
    code: str
    title: str | None = None
    reason: str | None = None

    @property
    def lines(self):
        """Lines of a shell, those that a backslash continues joined."""
        joined = self.code.replace("\\\n", " ").splitlines()
        return [line.strip() for line in joined if line.strip() and not line.lstrip().startswith("#")]


def blocks(page):
    """The blocks between fences of a page, from its top."""
    text = (ROOT / page).read_text(encoding="utf-8")
    return [Block(f["language"], f["code"], f["title"], f["reason"]) for f in FENCE.finditer(text)]


def shown(page):
    """Every command of ours that a page shows on lines of its own, as words."""
    text = re.sub(r"\\\n\s*", "", (ROOT / page).read_text(encoding="utf-8"))
    found = re.findall(r"^(?:    |\t)?(?:\.venv/bin/|\$ )?(janus-al .*)$", text, re.MULTILINE)
    fenced = "\n".join(block.code for block in blocks(page))
    drawn = [line for line in found if " -> " not in line]
    return [words(line) for line in drawn if f"    {line}" in text or line in fenced]


def mentioned(page):
    """Every command of ours that a page mentions within a sentence, as words."""
    return [words(" ".join(line.split())) for line in INLINE.findall((ROOT / page).read_text(encoding="utf-8"))]


def words(line):
    """The words of a command, without what a shell does with its output."""
    found = shlex.split(line, comments=True)
    ends = [i for i, word in enumerate(found) if word in {"|", ">", "&&", "&", ";"}]
    return found[1 : min(ends, default=len(found))]
