"""A network's second opinion of a pool: of the images that will be simulated, from all their symmetric copies."""

from dataclasses import replace

import numpy as np

from janus_al.networks.janus import Janus
from janus_al.properties import FRACTION
from loop.design.cut import fractions
from loop.design.generators import Tools
from loop.design.pool import Pool, Wanted, distance, gaps


def second_opinion(pool: Pool, wanted: Wanted, model: Janus, tools: Tools) -> Pool:
    """A pool with the mean of a network's opinions (`janus_al.opinions`) for its predictions, and the miss of these."""
    from janus_al.opinions import mean_opinion

    if not len(pool):
        return pool
    images, names = pool.cuts(wanted, tools.boundary), (*model.config.properties, FRACTION.name)
    predicted = np.column_stack([mean_opinion(model, images), fractions(images)])
    miss = np.empty(len(pool))
    for index, (target, _) in enumerate(wanted):
        own = pool.target == index
        values = dict(zip(names, predicted[own].T, strict=True))
        miss[own] = distance(gaps(replace(target, intervals=target.goal), values, tools.inversion))
    return replace(pool, predicted=predicted, names=names, miss=miss)
