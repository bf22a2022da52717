"""Names that people give and that become those of files and folders."""

import os
import unicodedata

NOWHERE = set('/\\:*?"<>|')
"""characters that a file's name cannot hold on every system"""


def file_name(name: str) -> str:
    """The name, where a file can have it on any system.

    Raises:
        ValueError: with the rule.
    """
    whole = name.isprintable() and 1 <= len(name.encode()) <= 120 and name.strip(" .") == name
    if not whole or NOWHERE & set(name):
        raise ValueError(
            f"{name[:60]!r} becomes a file's name: letters of any language, digits, spaces and . _ - within, at most "
            "120 bytes, no dot or space at its ends"
        )
    try:
        os.fsencode(name)
    except UnicodeEncodeError:
        raise ValueError(f"{name!r}: letters that file names have not here; set PYTHONUTF8=1, or use others") from None
    return name


def same(name: str) -> str:
    """Equal for names that one file system or another takes for the same."""
    return unicodedata.normalize("NFC", name).casefold()
