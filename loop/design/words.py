"""Targets in words, as they are typed: `kxx=0.3+-2%`, `kyy>=0.2`, `max kxx`, `min_feature>=3`."""

import math
import re
from collections.abc import Sequence

from janus_al.properties import PropertyError
from janus_al.quantities import quantity
from loop.design.measures import AXES, Geometry, least_features, least_likeness
from loop.design.targets import WAYS, Interval, Target, TargetError, check_best, interval

FORMS = (
    "PROPERTY=VALUE",
    "PROPERTY=VALUE+-PERCENT%",
    "PROPERTY=MIN..MAX",
    "PROPERTY>MIN",
    "PROPERTY>=MIN",
    "PROPERTY<MAX",
    "PROPERTY<=MAX",
    "max PROPERTY",
    "min PROPERTY",
    "min_feature>=PIXELS",
    "connected=AXES",
    "like>=SCORE",
    "periodic",
)
"""of a condition in words; kxx/kyy is a property, too"""
NAME = r"(\w+?(?:/\w+)?)"
NUMBER = r"([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)"


def parse_targets(words: Sequence[str], tolerance: float, designs: int = 1, pixel: str = "") -> Target:
    """One target from words in any of the `FORMS`, spaces or not; those on one property hold together.

    Features may be lengths where that of a `pixel` is known.

    Raises:
        TargetError: in another form, of another property, or where the conditions exclude each other.
    """
    intervals, best, geometry = dict[str, Interval](), dict[str, int](), Geometry()
    for word in words:
        if (asked := _geometry(word, pixel)) is not None:
            geometry = geometry.beside(asked)
        elif match := re.fullmatch(rf"\s*(max|min)\s+{NAME}\s*|\s*{NAME}\s*=\s*(max|min)\s*", word):
            name, way = match[2] or match[3], WAYS[match[1] or match[4]]
            _check(name)
            if best.setdefault(name, way) != way:
                raise TargetError(f"target {name}: the most and the least of it exclude each other")
        else:
            name, new = _condition(word, tolerance)
            old = intervals.get(name, (-math.inf, math.inf))
            intervals[name] = (max(old[0], new[0]), min(old[1], new[1]))
            if intervals[name][0] > intervals[name][1]:
                raise TargetError(f"target {name}: the conditions on it exclude each other")
    check_best(best)
    if not intervals and not best:
        raise TargetError(f"target {geometry}: it asks of no property; add one, such as kxx>=0.3")
    return Target("target", intervals, designs, best, geometry)


def _check(name: str) -> None:
    try:
        quantity(name)
    except PropertyError as error:
        raise TargetError(f"target {error}") from None


def _geometry(word: str, pixel: str = "") -> Geometry | None:
    """What a word asks of the image itself, if it does."""
    plain = "".join(word.split()).replace("≥", ">=")
    if plain == "periodic":
        return Geometry(periodic=True)
    if match := re.fullmatch(r"connected=(\w*)", plain):
        if not match[1] or set(match[1]) - set(AXES) or len(set(match[1])) < len(match[1]):
            raise TargetError(f"target '{word}': connected={match[1]} must be some of the axes {', '.join(AXES)}")
        return Geometry(connected="".join(sorted(match[1])))
    try:
        if match := re.fullmatch(r"min_feature(?:_([01]))?>?=(.*)", plain):
            return Geometry(least_features(match[2], None if match[1] is None else int(match[1]), pixel))
        if match := re.fullmatch(r"like>?=(.*)", plain):
            return Geometry(like=least_likeness(match[1]))
    except ValueError as error:
        raise TargetError(f"target '{word}': {error}") from None
    if plain.startswith(("min_feature", "connected", "periodic", "like")):
        raise TargetError(f"target '{word}': write {', '.join(FORMS[-4:-1])} or {FORMS[-1]}")
    return None


def _condition(word: str, tolerance: float) -> tuple[str, Interval]:
    """The property and the interval that one word asks for."""
    plain = "".join(word.split()).replace("≥", ">=").replace("≤", "<=").replace("±", "+-")
    if match := re.fullmatch(rf"{NAME}(?:=|in){NUMBER}\.\.{NUMBER}", plain):
        return match[1], interval(match[1], low=float(match[2]), high=float(match[3]))
    if match := re.fullmatch(rf"{NAME}={NUMBER}(?:\+-{NUMBER}%)?", plain):
        own = tolerance if match[3] is None else float(match[3]) / 100
        return match[1], interval(match[1], value=float(match[2]), tolerance=own)
    if match := re.fullmatch(rf"{NAME}([<>])(=?){NUMBER}", plain):
        end = float(match[4])
        if not match[3]:
            end = math.nextafter(end, math.inf if match[2] == ">" else -math.inf)
        return match[1], interval(match[1], **{"low" if match[2] == ">" else "high": end})
    raise TargetError(f"target '{word}': write {', '.join(FORMS[:-1])} or {FORMS[-1]}")
