"""What commands say: whole helps, one sentence for every mistake, any terminal, and quiet ends."""

import contextlib
import importlib
import io
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import typer

from loop.commands.terminal import spell

ROOT = Path(__file__).parents[1]
COMMAND = [sys.executable, "-P", "-m", "loop.commands.main"]
ASCII = {**os.environ, "PYTHONIOENCODING": "ascii", "LANG": "C", "LC_ALL": "C", "PYTHONUTF8": "0"}
ASCII |= {"PYTHONCOERCECLOCALE": "0"}


def commands(group, words=()):
    """Every command and group with the words that call it."""
    yield words, group
    for name, command in getattr(group, "commands", {}).items():
        yield from commands(command, (*words, name))


def all_commands():
    from loop.commands.main import app

    return list(commands(typer.main.get_command(app)))


@pytest.mark.parametrize(
    ("words", "command"), all_commands(), ids=lambda v: " ".join(v) if isinstance(v, tuple) else ""
)
def test_helps_lose_no_word(janus, words, command):
    """All that a docstring or an option says is in the help, brackets too, and in ASCII characters."""
    code, out, err = janus(*words, "--help")
    assert (code, err) == (0, "")
    shown = "".join(out.split())
    texts = [command.help or "", *(getattr(p, "help", None) or "" for p in command.params)]
    for text in texts:
        assert "".join(text.split()) in shown
    assert out.isascii()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["generat"], "generat"),
        (["generate", "--out", "x.h5"], "--count"),
        (["generate", "--count", "many", "--out", "x.h5"], "many"),
        (
            ["generate", "--count", "0", "--out", "x.h5"],
            "'--count' '0': it must be at least 1; janus-al generate --help",
        ),
        (["generate", "--count", "2", "--seed", str(2**63), "--out", "x.h5"], "--seed"),
        (["campaign", "run"], "config"),
        (["campaign", "run", "a.toml", "--dir", "b", "--wieghts", "w.toml"], "--weights"),
        (["campaign", "stats", "x"], "stats"),
        (["invert", "model", "--target"], "--target"),
        (["train", "d.h5", "--out", "m", "--threads", "1e9"], "--threads"),
    ],
)
def test_mistakes_of_usage_are_one_sentence(janus, words, told):
    code, out, err = janus(*words)
    assert (code, out) == (2, "")
    assert err.startswith("janus-al: ")
    assert err.count("\n") == 1
    assert told in err


def test_no_command_is_answered_with_the_help(janus):
    code, out, err = janus("campaign")
    assert code == 2
    assert "Iterative design" in out + err


def test_any_terminal_can_show_everything():
    """What an encoding lacks is spelled; bytes of a file's name that are no text pass as they are."""
    for encoding, expected in [
        ("ascii", b"0.3 +- 1 % \\xfc \xfc \xe2\x82\xac"),
        ("utf-8", "0.3 ± 1 % ü ".encode() + b"\xfc \xe2\x82\xac"),
    ]:
        raw = io.BytesIO()
        stream = io.TextIOWrapper(raw, encoding=encoding)
        spell(stream)
        stream.write("0.3 ± 1 % ü \udcfc \udce2\udc82\udcac")
        stream.flush()
        assert raw.getvalue() == expected


def test_an_ascii_terminal_shows_targets_and_names(tmp_path, folder):
    """The table of a finished campaign, and the sentence on a file that is not there."""
    done = subprocess.run([*COMMAND, "campaign", "status", str(folder)], env=ASCII, capture_output=True)
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"kxx = 0.3 +- 5 %" in done.stdout
    words = ["campaign", "status", f"{tmp_path}/größe"]
    done = subprocess.run([*COMMAND, *words], env=ASCII, capture_output=True)
    assert done.returncode == 2
    assert "größe: no campaign here" in done.stderr.decode()
    assert done.stderr.count(b"\n") == 1


@pytest.mark.parametrize("words", [["generate", "--help"], ["campaign", "status", "{folder}"]])
def test_a_reader_that_goes_ends_it_quietly(folder, words):
    read, write = os.pipe()
    os.close(read)
    command = [*COMMAND, *(w.format(folder=folder) for w in words)]
    done = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, env={**os.environ, "PYTHONUNBUFFERED": ""})
    os.close(write)
    assert (done.returncode, done.stderr) == (141, b"")


def test_nothing_typed_is_answered_with_the_help(janus):
    for words in ([], ["campaign"]):
        code, _, err = janus(*words)
        assert code == 2
        assert err.startswith("Usage: janus-al")
        assert len(err.splitlines()) > 8


INTERRUPTED = """
import os, signal, sys, threading
signal.signal(signal.SIGINT, signal.default_int_handler)  # which a shell's `&` switches off

def watch(event, words):
    if event == "import" and words[0] == "simulators.structures.phasefield":
        threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT)).start()

sys.addaudithook(watch)
from loop.commands.main import main
main()
"""


def test_interrupted_by_hand(tmp_path):
    """Ctrl-C while it generates: exit 130, our sentence and nothing else."""
    words = ["generate", "--count", "5000", "--simulated", "0", "--size", "64", "--out", str(tmp_path / "d.h5")]
    done = subprocess.run([sys.executable, "-P", "-c", INTERRUPTED, *words], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (130, "")
    assert done.stderr == "janus-al: interrupted; run the same command again to go on where it was\n"


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_told_to_stop_while_a_library_is_imported(monkeypatch, janus, number, code):
    """Such a library may swallow the interrupt and stumble over what it left half imported."""

    def half_imported(**_):
        with contextlib.suppress(SystemExit, KeyboardInterrupt):
            signal.raise_signal(number)
        raise RecursionError("as numpy's does")

    monkeypatch.setattr("loop.commands.main.app", half_imported)
    before = [signal.signal(other, signal.default_int_handler) for other in (signal.SIGTERM, signal.SIGINT)]
    try:
        answer = janus("doctor")
    finally:
        for other, handler in zip((signal.SIGTERM, signal.SIGINT), before, strict=True):
            signal.signal(other, handler)
    assert answer == (code, "", "janus-al: interrupted; run the same command again to go on where it was\n")


def test_an_error_of_the_system_names_the_file(janus, tmp_path):
    (tmp_path / "file").write_text("")
    np.save(tmp_path / "i.npy", np.zeros((8, 8), np.uint8))
    code, _, err = janus("campaign", "run", ROOT / "tests/small.toml", "--dir", tmp_path / "file" / "c")
    assert code == 2
    assert (
        err == f"janus-al: {tmp_path}/file/c: {tmp_path}/file is a file where a folder is needed; give another name\n"
    )


def test_a_file_that_cannot_be_replaced_is_named_and_not_its_temporary_one(tmp_path):
    from janus_al.files import atomic_path
    from loop.commands.main import _sentence

    (tmp_path / "report.html").mkdir()
    with pytest.raises(OSError) as caught, atomic_path(tmp_path / "report.html") as temporary:
        temporary.write_text("new")
    assert _sentence(caught.value) == f"{tmp_path}/report.html: is a directory"


def test_names_in_the_documents_exist():
    """Every `module.name` of ours that CONTRIBUTING or the design speaks of can be imported."""
    texts = [(ROOT / name).read_text(encoding="utf-8") for name in ("CONTRIBUTING.md", "docs/design.md")]
    spoken = set(re.findall(r"`([A-Za-z_]\w*(?:\.\w+)+)`", "\n".join(texts)))
    files = re.compile(r".*\.(md|toml|py|js|h5|json|jsonl|npy|png|html|pt|safetensors|image)$")
    names = sorted(n for n in spoken if not files.match(n) and "config" not in n)
    assert "simulators.solvers.choice.SOLVERS" in names
    for name in names:
        assert any(_exists(prefix + name) for prefix in ("", "simulators.", "janus_al.", "loop.")), name


def _exists(name):
    parts = name.split(".")
    for end in range(len(parts), 0, -1):
        try:
            found = importlib.import_module(".".join(parts[:end]))
        except ImportError:
            continue
        for part in parts[end:]:
            if not hasattr(found, part):
                return False
            found = getattr(found, part)
        return True
    return False
