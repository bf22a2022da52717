"""House rules that reading alone would not keep: how many parameters a function takes, how long a module is."""

import ast
import statistics
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MODULES = sorted(path for package in ("janus_al", "simulators", "loop") for path in (ROOT / package).rglob("*.py"))
MOST = 6
MEDIAN = 150
COMMANDS = "A command's parameters are its options"


def crowded(source):
    """Functions with more parameters than `MOST`, self and cls not counted, that give no reason in their docstring."""
    tree = ast.parse(source)
    found = []
    for node in ast.walk(tree):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        given = node.args
        every = [*given.posonlyargs, *given.args, given.vararg, *given.kwonlyargs, given.kwarg]
        count = sum(one is not None and one.arg not in ("self", "cls") for one in every)
        is_command = any("command(" in ast.unparse(decorator) for decorator in node.decorator_list)
        excused = is_command and COMMANDS in (ast.get_docstring(tree) or "")
        if count > MOST and not excused and "parameters" not in (ast.get_docstring(node) or ""):
            found.append(f"{node.name} ({count})")
    return found


def test_no_function_takes_many_parameters_without_a_reason():
    found = {str(path.relative_to(ROOT)): names for path in MODULES if (names := crowded(path.read_text()))}
    assert not found, "group what belongs together, or say in the docstring why it takes so many parameters"


def test_modules_are_short():
    assert len(MODULES) > 100
    assert statistics.median(len(path.read_text().splitlines()) for path in MODULES) <= MEDIAN


FIVE = "a, /, b, c, *, d, e"


@pytest.mark.parametrize(
    ("source", "found"),
    [
        (f"def f({FIVE}, **meta): ...", []),
        (f"def f({FIVE}, g, **meta): ...", ["f (7)"]),
        ("def f(a, b, c, d, e, *args, **meta): ...", ["f (7)"]),
        (f"class A:\n    async def f(self, {FIVE}, g): ...", []),
        (f"def f(self):\n    def g({FIVE}, g, h): ...", ["g (7)"]),
        (f"def f({FIVE}, g, h):\n    'Its parameters are the columns of the file.'", []),
        (f'"{COMMANDS}."\n@app.command("f")\ndef f({FIVE}, g, h): ...', []),
        (f'"{COMMANDS}."\ndef f({FIVE}, g, h): ...', ["f (7)"]),
        (f'"Commands."\n@app.command()\ndef f({FIVE}, g, h): ...', ["f (7)"]),
    ],
)
def test_what_counts(source, found):
    assert crowded(source) == found
