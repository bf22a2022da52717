"""Pages say what the code says: keys made from it, commands that it takes, code that runs."""

import importlib.util
import os
import re
import subprocess
import sys
import tomllib

import pytest
from pages import PAGES, ROOT, blocks, mentioned, shown

KEYS = ROOT / "docs" / "keys.py"
RUN = [page for page in PAGES if page.startswith(("README", "docs/index", "docs/how-to/"))]
"""pages whose blocks all run, but those that say why not"""


@pytest.fixture(scope="module")
def program():
    from typer.main import get_command

    from loop.commands.main import app

    return get_command(app)


def found(program, words):
    """The command that words name, and the rest of them."""
    command = program
    while words and words[0] in getattr(command, "commands", ()):
        command, words = command.commands[words[0]], words[1:]
    return command, words


def test_every_key_of_the_configuration_is_explained():
    """The page is what `docs/keys.py` makes of the docstrings; it fails where a key has none."""
    spec = importlib.util.spec_from_file_location("keys", KEYS)
    keys = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(keys)
    assert keys.PAGE.read_text(encoding="utf-8") == keys.page(), "out of date: run python docs/keys.py"


@pytest.mark.parametrize("page", PAGES)
def test_commands_on_pages_are_taken(program, page):
    """With all their options and the kinds of their values, without being run."""
    for words in shown(page):
        command, rest = found(program, words)
        assert command is not program, words
        with command.make_context("janus-al", list(rest)):
            pass


@pytest.mark.parametrize("page", PAGES)
def test_commands_mentioned_exist(program, page):
    for words in mentioned(page):
        command, rest = found(program, words)
        options = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
        assert command is not program or rest[0] in options, words
        assert {word.partition("=")[0] for word in rest if word.startswith("--")} <= {*options, "--help"}, words
        assert not rest or not hasattr(command, "commands") or rest[0].startswith("-"), words


def test_pages_have_commands():
    """The readers of pages find something to check."""
    assert sum(len(shown(page)) for page in PAGES) > 40
    assert sum(len(mentioned(page)) for page in PAGES) > 10
    assert sum(len(block.lines) for page in RUN for block in blocks(page) if block.language == "sh") > 20
    assert len(RUN) >= 7


@pytest.mark.parametrize("page", PAGES)
def test_files_on_pages_are_valid(page, tmp_path):
    """Every block of TOML can be read, and those that are whole files are accepted."""
    from loop.campaign.toml import load_config

    for block in blocks(page):
        if block.language == "toml":
            tomllib.loads(block.code)
            if block.title and 'simulator = "coating' not in block.code:
                (tmp_path / block.title).write_text(block.code)
                load_config(tmp_path / block.title)


@pytest.mark.slow
@pytest.mark.parametrize("page", RUN)
def test_pages_run(page, tmp_path):
    """All that a page shows, from its top, in an empty folder; a line that `# exit N` follows ends with that code."""
    (tmp_path / "bin").mkdir()
    for name, words in {"janus-al": "-m loop.commands.main", "python": ""}.items():
        (tmp_path / "bin" / name).write_text(f'#!/bin/sh\nexec {sys.executable} -P {words} "$@"\n')
        (tmp_path / "bin" / name).chmod(0o755)
    path = f"{tmp_path / 'bin'}:{os.environ['PATH']}"
    environment = os.environ | {"PATH": path, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    home = tmp_path / "here"
    home.mkdir()

    def run(*words, code=0):
        done = subprocess.run(words, cwd=home, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == code, f"{words}: {done.stderr[-2000:]}"

    for number, block in enumerate(blocks(page)):
        if block.reason is not None or block.language == "text":
            continue
        if block.title is not None:
            (home / block.title).write_text(block.code)
        elif block.language == "python":
            (home / f"block{number}.py").write_text(block.code)
            run("python", f"block{number}.py")
        elif block.language == "sh":
            for line in block.lines:
                told = re.search(r"# exit (\d)$", line)
                run("bash", "-c", line, code=int(told[1]) if told else 0)
        else:
            assert block.language == "toml", f"{page}: what is {block.language}?"
