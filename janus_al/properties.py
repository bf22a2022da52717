"""The table of properties: what a name means, wherever one is stored, learned, asked for or shown.

A property is a row; one of a new kind is a row more. Entries of a tensor turn into each other when the image is
turned: under a signed permutation of the axes, T'_ij... = s_i s_j ... T_p(i)p(j)... .
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import permutations, product
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from janus_al.errors import nearest

VOIGT = ("xx", "yy", "zz", "yz", "xz", "xy")
LONGEST = 64
"""letters of a name"""
ENDS = ("_lower", "_upper", "_fv")
"""with which bounds and plain values stand beside a value"""
RESERVED = ("name", "designs", "min_feature", "connected", "periodic")
"""keys that every target has, of its own or of the image"""
AXES = "xyz"
"""x is the last axis of an image, y the one before, z the first of a volume"""


Kind = TypeVar("Kind", bound=np.generic)


class PropertyError(ValueError):
    """A property that is none, or that two give different meanings."""


@dataclass(frozen=True)
class Property:
    """One row.

    Attributes:
        name: as it stands in files, targets and tables.
        tensor: whose entry it is; of no tensor, it belongs to none of the axes.
        axes: indices of the entry, such as "xy".
        log: learned, and asked for, on a log scale: it is above 0.
        driver: the material constant on which it rises, and to whose logarithm sensitivities refer.
        trend: where there is no driver: 1 if it rises with the pixels of label 1, -1 if it falls, 0 if neither.
        turns: whether mirrored and turned images have it, as `tensor` and `axes` say.

    Raises:
        PropertyError: it is none.
    """

    name: str
    tensor: str = ""
    axes: str = ""
    log: bool = True
    driver: str = ""
    trend: int = 0
    turns: bool = True

    def __post_init__(self) -> None:
        """Refuse what is no row."""
        if not self.name.isidentifier() or len(self.name) > LONGEST:
            raise PropertyError(
                f"property {self.name!r:.60}: a name has letters, digits and underscores, no digit first, and at most "
                f"{LONGEST} of them"
            )
        if self.name in RESERVED or self.name.startswith(("min_feature_", "connected_")):
            raise PropertyError(f"property {self.name}: a target has {', '.join(RESERVED)} of its own; rename it")
        if self.name.endswith(ENDS):
            raise PropertyError(f"property {self.name}: {', '.join(ENDS)} stand for bounds and plain values; rename it")
        pairs = [self.axes[i : i + 2] for i in range(0, len(self.axes), 2)]
        if (self.axes and not self.tensor) or len(pairs) > 2 or not set(pairs) <= set(VOIGT):
            raise PropertyError(
                f"property {self.name}: axes {self.axes!r:.60} of tensor {self.tensor!r:.60}; they are one or two of "
                f"{', '.join(VOIGT)} of a tensor that has a name"
            )
        if self.trend not in (-1, 0, 1):
            raise PropertyError(f"property {self.name}: trend {self.trend}; it must be -1, 0 or 1")


FRACTION = Property("volume_fraction", log=False, trend=1)
"""of label 1; every image has it without simulation"""


def _built_in() -> Iterator[Property]:
    yield FRACTION
    for pair in ("xx", "yy", "zz"):
        yield Property(f"k{pair}", "k", pair, driver="conductivity")
    for pair in ("xy", "xz", "yz"):
        yield Property(f"k{pair}", "k", pair, log=False)
    for i, pair in enumerate(VOIGT[:3], start=1):
        yield Property(f"E{i}{i}", "E", pair, driver="modulus")
    for i, first in enumerate(VOIGT, start=1):
        for j, second in enumerate(VOIGT[i - 1 :], start=i):
            diagonal = i == j
            yield Property(f"C{i}{j}", "C", first + second, diagonal, driver="modulus" if diagonal else "", trend=0)


TABLE = {row.name: row for row in _built_in()}


def register(row: Property) -> None:
    """Take a row of someone else's physics into the table.

    Raises:
        PropertyError: the name has another meaning already.
    """
    if TABLE.setdefault(row.name, row) != row:
        raise PropertyError(f"property {row.name}: {row} is not what it means here, {TABLE[row.name]}; rename it")


def meant(name: str, known: Iterable[str]) -> str:
    """A question for the known name most like another one, to stand before a list of them; "" if none is."""
    return f"did you mean {like}? " if (like := nearest(name, known, 0.76)) else ""


def row_of(name: str) -> Property:
    """The row of a name.

    Raises:
        PropertyError: there is none.
    """
    if name not in TABLE:
        raise PropertyError(
            f"property {name!r:.60}: {meant(name, TABLE)}known here are {', '.join(TABLE)}; one of your own is a table "
            "{ name = ... } in the file, or a janus_al.Property in a class"
        )
    return TABLE[name]


def scaled(name: str, value: float) -> float:
    """A value as it is learned and aimed at: its logarithm, of a property on a log scale."""
    return math.log(value) if row_of(name).log else value


Turn = tuple[tuple[int, ...], tuple[bool, ...]]
"""A symmetry of the pixel grid: the axes that are mirrored, then the order in which axes are taken."""


@lru_cache
def turns(dim: int) -> tuple[Turn, ...]:
    """All 8 of a square or 48 of a cube, as (order of axes, mirrored axes); the first changes nothing."""
    orders = permutations(range(dim))
    return tuple((order, mirrored) for order in orders for mirrored in product((False, True), repeat=dim))


def turned(image: NDArray[Kind], turn: Turn) -> NDArray[Kind]:
    """An image (*grid) mirrored, then with its axes reordered."""
    order, mirrored = turn
    return image[tuple(slice(None, None, -1 if m else None) for m in mirrored)].transpose(order)


def action(names: Sequence[str], turn: Turn) -> tuple[NDArray[np.intp], NDArray[np.float64]] | None:
    """What a symmetry of the image does to its properties: new[i] = sign[i] old[index[i]].

    None if it is unknown: one of them turns into one that is not among them, or has no symmetry.
    """
    order, mirrored = turn
    dim = len(order)
    letters = [AXES[dim - 1 - axis] for axis in range(dim)]
    source = {letters[new]: letters[old] for new, old in enumerate(order)}
    sign = {letters[axis]: -1.0 if mirrored[axis] else 1.0 for axis in range(dim)}
    index, signs = [], []
    entries = {(row_of(n).tensor, row_of(n).axes): i for i, n in enumerate(names) if row_of(n).tensor}
    for i, name in enumerate(names):
        row = row_of(name)
        if not row.turns and turn != turns(dim)[0]:
            return None
        if not row.tensor or not row.turns:
            index.append(i)
            signs.append(1.0)
            continue
        old = [source[letter] for letter in row.axes]
        entry = (row.tensor, _entry("".join(old)))
        if entry not in entries:
            return None
        index.append(entries[entry])
        signs.append(float(np.prod([sign[letter] for letter in old])))
    return np.array(index), np.array(signs)


def _entry(axes: str) -> str:
    """The same entry by the indices under which a symmetric tensor has it in the table."""
    pairs = ["".join(sorted(axes[i : i + 2])) for i in range(0, len(axes), 2)]
    return "".join(sorted(pairs, key=VOIGT.index))


def orbits(names: Sequence[str], dim: int) -> list[tuple[list[int], bool]]:
    """Columns that symmetries turn into each other, and whether any of them turns into its own negative."""
    groups: list[tuple[list[int], bool]] = []
    known = [found for turn in turns(dim) if (found := action(names, turn)) is not None]
    left = list(range(len(names)))
    while left:
        group = sorted({int(index[left[0]]) for index, _ in known})
        signed = any(sign[i] < 0 for index, sign in known for i in group if index[i] == i)
        groups.append((group, signed))
        left = [i for i in left if i not in group]
    return groups
