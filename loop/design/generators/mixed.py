"""Janus and fresh phase fields together: each target's candidates come from both, the more from who serves it better.

Which of two proposes better depends on what is wanted: inversions where several things are wanted at once, fresh
structures beyond the data (docs/results/arena.md). Each takes as large a part of a target's candidates as it is
likely to be the better one there, by the designs and simulations so far: Thompson sampling (Biometrika 25, 1933),
which begins with more of the fresh ones. Phase fields that are less like the class of the samples than 95 of 100 of
its own are left out: of another class, all are.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from janus_al.likeness import LIKE, Likeness
from loop.design.generators import Generator, Tools
from loop.design.generators.janus import JanusGenerator
from loop.design.generators.phasefield import PhaseFieldGenerator
from loop.design.pool import Image, Known, Pool, Shot, Wanted, joined
from loop.design.targets import Target
from simulators import Result

SOURCES = ("janus", "phasefield")
BEFORE = {"janus": (0, 0), "phasefield": (4, 4)}
"""designs and simulations that each is taken to have brought before: where nothing is known yet, fresh phase fields
cost less, aimed as they are (docs/results/arena.md)"""
DRAWS = 4096
LEAST = 0.05
"""part that is left to the one that serves worse"""
SAMPLE = 32
"""phase fields that are looked at to see whether they are of the samples' class"""


class MixedGenerator:
    """The pools of both, whose misses say in which order rows of either are to be taken."""

    needs_model: ClassVar[bool] = True

    def __init__(self, tools: Tools) -> None:
        self.tools = tools
        self.janus, self.phasefield = JanusGenerator(tools), PhaseFieldGenerator(tools)

    def fit(self, known: Known) -> None:
        """Nothing: the campaign trains its models itself."""

    def propose(self, wanted: Wanted, known: Known, seed: Sequence[int]) -> Pool:
        """As many rows for each candidate wanted as each of both has alone."""
        pools, sources = [], SOURCES if self._of_the_class(known.likeness) else SOURCES[:1]
        for number, source in enumerate(sources):
            part: Generator = getattr(self, source)
            pool = part.propose(wanted, known, (*seed, number))
            if source == "phasefield" and known.likeness is not None and len(pool):
                pool = pool.take(known.likeness.scores(pool.cuts(wanted, self.tools.boundary)) >= LIKE)
            if pool.latent is None:
                pool = replace(pool, latent=np.full((len(pool), self._latent), np.nan, np.float32))
            pools.append(replace(pool, source=np.full(len(pool), source)))
        pool = joined(pools)
        miss = np.empty(len(pool))
        for index, (target, _) in enumerate(wanted):
            shares = likely_best([_brought(known, target, source) for source in sources], seed)
            for source, share in zip(sources, shares, strict=True):
                own = np.flatnonzero((pool.target == index) & (pool.source == source))
                miss[own[np.argsort(pool.miss[own], kind="stable")]] = (np.arange(len(own)) + 0.5) / share
        return replace(pool, miss=miss)

    def _of_the_class(self, likeness: Likeness | None) -> bool:
        """Whether phase fields are, some at least, as far as any class is known."""
        from simulators import generate

        return likeness is None or bool((likeness.scores(generate(SAMPLE, self.tools.grid, 0)) >= LIKE).any())

    def corrected(self, shots: Sequence[Shot]) -> Pool:
        """Those of Janus, whose shots alone have latent vectors."""
        return self.janus.corrected(shots)

    def opinion(self, images: Sequence[Image]) -> Sequence[Result | None]:
        """That of the network, which both share."""
        return self.janus.opinion(images)

    @property
    def _latent(self) -> int:
        return int(self.tools.model()[0].latent_mean.shape[-1])


def _brought(known: Known, target: Target, source: str) -> tuple[int, int]:
    """Designs and simulations of a source, with those it is taken to have brought before."""
    (designs, simulations), (more, paid) = known.brought.get((target.name, source), (0, 0)), BEFORE[source]
    return designs + more, simulations + paid


def likely_best(brought: Sequence[tuple[int, int]], seed: Sequence[int]) -> NDArray[np.float64]:
    """The chance of each to bring the most designs a simulation, `LEAST` at least, from its designs and simulations.

    A design costs one simulation at least: the rate is that of a coin, and with nothing known uniform.
    """
    rng = np.random.default_rng([*seed, len(brought)])
    rates = [rng.beta(1 + designs, 1 + simulations - designs, DRAWS) for designs, simulations in brought]
    best = np.bincount(np.argmax(rates, axis=0), minlength=len(brought)) / DRAWS
    return np.maximum(best, LEAST) / np.maximum(best, LEAST).sum()
