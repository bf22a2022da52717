"""What a campaign scored: designs that are confirmed, novel, realistic and distinct, against what they cost."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from janus_al import dataset
from loop.campaign.campaign import Campaign
from loop.design.likeness import Likeness
from loop.design.select import aligned_distance

NOVEL = 0.1
"""part of the pixels in which a novel design differs from every simulated image of the first data, at least"""
TEN = 10
RESAMPLES = 9999

Image = NDArray[np.integer]


@dataclass(frozen=True)
class Judged:
    """What is to be said of a design beside that physics confirmed it."""

    target: str
    image: Image
    novel: bool
    realistic: bool


@dataclass(frozen=True)
class Step:
    """How a campaign stood after a round.

    Attributes:
        simulations: spent so far, those of the data among them where they are charged.
        seconds: gone so far, those of the first training among them.
        hits: confirmed designs.
        counted: of them, those that are novel, realistic and distinct.
    """

    simulations: int
    seconds: float
    hits: int
    counted: int


@dataclass(frozen=True)
class Scored:
    """A finished campaign: how it stood after each round, and how many of its designs are novel, and realistic."""

    steps: tuple[Step, ...]
    novel: int = 0
    realistic: int = 0

    @property
    def last(self) -> Step:
        """How it stood at the end."""
        return self.steps[-1]

    @property
    def until_ten(self) -> int | None:
        """Simulations after which ten designs counted; None if they never did."""
        return next((s.simulations for s in self.steps if s.counted >= TEN), None)


def judge(
    designs: Sequence[tuple[str, Image]], known: NDArray[np.integer], likeness: Likeness, novel: float = NOVEL
) -> list[Judged]:
    """Designs, as target and image, with whether they differ enough from what was known, and are like their class."""
    return [
        Judged(target, image, bool(aligned_distance(image, known).min(initial=1) >= novel), likeness.realistic(image))
        for target, image in designs
    ]


def counted(designs: Sequence[Judged], least: float) -> list[bool]:
    """Which count: novel and realistic ones, each different from those of its target that counted before it."""
    taken, found = dict[str, list[Image]](), list[bool]()
    for design in designs:
        own = taken.setdefault(design.target, [])
        apart = not own or aligned_distance(design.image, np.stack(own)).min() >= least
        found.append(design.novel and design.realistic and bool(apart))
        if found[-1]:
            own.append(design.image)
    return found


def scored(campaign: Campaign, likeness: Likeness, charged: int, seconds: float) -> Scored:
    """The score of a campaign.

    Args:
        campaign: in its folder.
        likeness: the class that designs are to be of.
        charged: simulations that its data cost.
        seconds: that its first network took.
    """
    first = [dataset.read(campaign.folder / e["file"]) for e in campaign.journal.of("shard") if e["round"] == 0]
    known = np.concatenate([samples.image[samples.simulated] for samples in first])
    rounds, designs = campaign.journal.of("round"), campaign.designs()
    images = [(d["target"], campaign.ledger.image(d["hash"])) for d in designs]
    judged = judge(images, known, likeness)
    good = [0, *itertools.accumulate(map(int, counted(judged, campaign.config.loop.min_distance)))]
    steps, hits = [Step(charged, seconds, 0, 0)], 0
    for event in rounds:
        seconds += sum(event["seconds"].values())
        hits += len(event["designs"])
        steps.append(Step(charged + event["spent"], seconds, hits, good[hits]))
    return Scored(tuple(steps), sum(j.novel for j in judged), sum(j.realistic for j in judged))


def ratio(ours: Sequence[float], theirs: Sequence[float], seed: int = 0) -> tuple[float, float, float] | None:
    """Mean of ours over mean of theirs, paired by seed, with the 95 % interval of a percentile bootstrap over pairs.

    None where theirs are all 0. With one pair the interval is that pair's ratio.
    """
    a, b = np.asarray(ours, float), np.asarray(theirs, float)
    if not b.any():
        return None
    rows = np.random.default_rng(seed).integers(len(a), size=(RESAMPLES, len(a)))
    above, below = a[rows].sum(axis=1), b[rows].sum(axis=1)
    known = below > 0
    low, high = np.quantile(above[known] / below[known], [0.025, 0.975])
    return float(a.sum() / b.sum()), float(low), float(high)
