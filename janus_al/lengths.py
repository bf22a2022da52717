"""Lengths in words, such as 0.5um: of a pixel's side, of features, of parts."""

import re

LENGTHS = {"nm": 1e-9, "um": 1e-6, "µm": 1e-6, "μm": 1e-6, "mm": 1e-3, "cm": 1e-2, "m": 1.0}
LENGTH = re.compile(rf"(\d+\.?\d*|\.\d+)({'|'.join(LENGTHS)})")
MOST = 64
"""characters of a length"""


def measured(length: str) -> tuple[float, str]:
    """A length in words, such as 1.5um, as a number and its unit.

    Raises:
        ValueError: it is none.
    """
    match = LENGTH.fullmatch("".join(length.split())) if len(length) <= MOST else None
    if not match or float(match[1]) <= 0:
        raise ValueError(f"{length[:MOST]!r}: write a number above 0 and a unit ({', '.join(LENGTHS)}), such as 1.5um")
    return float(match[1]), match[2]


def metres(length: str) -> float:
    """A length in words, such as 1.5um; raises ValueError where it is none."""
    number, unit = measured(length)
    return number * LENGTHS[unit]


def parted(length: str, times: int) -> str:
    """One of so many equal parts of a length in words, in its unit; nothing of nothing."""
    if not length:
        return ""
    number, unit = measured(length)
    return f"{number / times:.9g}{unit}"


def checked(length: str) -> str:
    """A length as it was written, or nothing where none is known; raises ValueError."""
    if length:
        metres(length)
    return length


def agreed(*lengths: str) -> str:
    """The one length that all tell who tell any, in the words of the first; nothing where none does.

    Raises:
        ValueError: two tell different ones.
    """
    told = [length for length in lengths if length]
    for other in told[1:]:
        if abs(metres(other) / metres(told[0]) - 1) > 1e-9:
            raise ValueError(f"a pixel of {other} and one of {told[0]}")
    return told[0] if told else ""


def in_words(length: float) -> str:
    """Metres in the unit in which they are from 1 to 999, where there is one, as 16 um."""
    fitting = [u for u in ("nm", "um", "mm", "m") if LENGTHS[u] <= length * (1 + 1e-9)]
    unit = fitting[-1] if fitting else "nm"
    return f"{length / LENGTHS[unit]:.4g} {unit}"
