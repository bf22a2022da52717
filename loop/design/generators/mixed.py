"""Janus and fresh phase fields together: each target's candidates come from both, the more from who serves it better.

Which of two proposes better depends on what is wanted: inversions where several things are wanted at once, fresh
structures beyond the data (docs/results/arena.md). Each takes as large a part of a target's candidates as it is likely
to be the better one there, by the designs and simulations so far: Thompson sampling (Biometrika 25, 1933).
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from loop.design.generators import Generator, Tools
from loop.design.generators.janus import JanusGenerator
from loop.design.generators.phasefield import PhaseFieldGenerator
from loop.design.pool import Known, Pool, Shot, Wanted, joined

SOURCES = ("janus", "phasefield")
DRAWS = 4096
LEAST = 0.05
"""part that is left to the one that serves worse"""


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
        pools = []
        for number, source in enumerate(SOURCES):
            part: Generator = getattr(self, source)
            pool = part.propose(wanted, known, (*seed, number))
            if pool.latent is None:
                pool = replace(pool, latent=np.full((len(pool), self._latent), np.nan, np.float32))
            pools.append(replace(pool, source=np.full(len(pool), source)))
        pool = joined(pools)
        miss = np.empty(len(pool))
        for index, (target, _) in enumerate(wanted):
            shares = likely_best([known.brought.get((target.name, source), (0, 0)) for source in SOURCES], seed)
            for source, share in zip(SOURCES, shares, strict=True):
                own = np.flatnonzero((pool.target == index) & (pool.source == source))
                miss[own[np.argsort(pool.miss[own], kind="stable")]] = (np.arange(len(own)) + 0.5) / share
        return replace(pool, miss=miss)

    def corrected(self, shots: Sequence[Shot]) -> Pool:
        """Those of Janus, whose shots alone have latent vectors."""
        return self.janus.corrected(shots)

    @property
    def _latent(self) -> int:
        return int(self.tools.model()[0].latent_mean.shape[-1])


def likely_best(brought: Sequence[tuple[int, int]], seed: Sequence[int]) -> NDArray[np.float64]:
    """The chance of each to bring the most designs a simulation, `LEAST` at least, from its designs and simulations.

    A design costs one simulation at least: the rate is that of a coin, and with nothing known uniform.
    """
    rng = np.random.default_rng([*seed, len(brought)])
    rates = [rng.beta(1 + designs, 1 + simulations - designs, DRAWS) for designs, simulations in brought]
    best = np.bincount(np.argmax(rates, axis=0), minlength=len(brought)) / DRAWS
    return np.maximum(best, LEAST) / np.maximum(best, LEAST).sum()
