"""Pages that are made from the code say what the code says."""

import importlib.util
from pathlib import Path

KEYS = Path(__file__).parents[1] / "docs" / "keys.py"


def test_every_key_of_the_configuration_is_explained():
    """The page is what `docs/keys.py` makes of the docstrings; it fails where a key has none."""
    spec = importlib.util.spec_from_file_location("keys", KEYS)
    keys = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(keys)
    assert keys.PAGE.read_text(encoding="utf-8") == keys.page(), "out of date: run python docs/keys.py"
