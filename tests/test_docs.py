"""Pages that are made from the code say what the code says."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_every_key_of_the_configuration_is_explained():
    """The page is what `docs/keys.py` makes of the docstrings; it fails where a key has none."""
    command = [sys.executable, "-P", ROOT / "docs/keys.py", "--check"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr or "the page is out of date: run python docs/keys.py"
