"""Targets in words, as they are typed: `kxx=0.3+-2%`, `kyy>=0.2`."""

import math
import re
from collections.abc import Sequence

from loop.design.targets import Interval, Target, TargetError, interval

FORMS = (
    "PROPERTY=VALUE",
    "PROPERTY=VALUE+-PERCENT%",
    "PROPERTY=MIN..MAX",
    "PROPERTY>MIN",
    "PROPERTY>=MIN",
    "PROPERTY<MAX",
    "PROPERTY<=MAX",
)
"""of a condition in words"""


def parse_targets(words: Sequence[str], tolerance: float, designs: int = 1) -> Target:
    """One target from words in any of the `FORMS`, spaces or not; those on one property hold together.

    Raises:
        TargetError: in another form, of another property, or where the conditions exclude each other.
    """
    intervals: dict[str, Interval] = {}
    for word in words:
        name, new = _condition(word, tolerance)
        old = intervals.get(name, (-math.inf, math.inf))
        intervals[name] = (max(old[0], new[0]), min(old[1], new[1]))
        if intervals[name][0] > intervals[name][1]:
            raise TargetError(f"target {name}: the conditions on it exclude each other")
    return Target("target", intervals, designs)


def _condition(word: str, tolerance: float) -> tuple[str, Interval]:
    """The property and the interval that one word asks for."""
    plain = "".join(word.split()).replace("≥", ">=").replace("≤", "<=").replace("±", "+-")
    number = r"([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)"
    if match := re.fullmatch(rf"(\w+?)(?:=|in){number}\.\.{number}", plain):
        return match[1], interval(match[1], low=float(match[2]), high=float(match[3]))
    if match := re.fullmatch(rf"(\w+)={number}(?:\+-{number}%)?", plain):
        own = tolerance if match[3] is None else float(match[3]) / 100
        return match[1], interval(match[1], value=float(match[2]), tolerance=own)
    if match := re.fullmatch(rf"(\w+)([<>])(=?){number}", plain):
        end = float(match[4])
        if not match[3]:
            end = math.nextafter(end, math.inf if match[2] == ">" else -math.inf)
        return match[1], interval(match[1], **{"low" if match[2] == ">" else "high": end})
    raise TargetError(f"target '{word}': write {', '.join(FORMS[:-1])} or {FORMS[-1]}")
