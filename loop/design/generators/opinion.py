"""A network's second opinion of a pool: of the images that will be simulated, from all their symmetric copies."""

from dataclasses import replace

import numpy as np

from janus_al.networks.janus import Janus
from janus_al.properties import FRACTION
from loop.design.cut import fractions
from loop.design.generators import Tools
from loop.design.pool import Pool, Wanted, distance, gaps


def second_opinion(pool: Pool, wanted: Wanted, model: Janus, tools: Tools) -> Pool:
    """A pool with the mean of a network's opinions (`janus_al.opinions`) for its predictions.

    The miss is the root mean square of the opinions' own: that of the mean, and how far they differ, which says
    something of how wrong the mean is.
    """
    from janus_al.opinions import in_units, opinions

    if not len(pool):
        return pool
    images, names = pool.cuts(wanted, tools.boundary), (*model.config.properties, FRACTION.name)
    told, fraction = opinions(model, images), fractions(images)
    predicted = np.column_stack([in_units(model, told.mean(axis=0)), fraction])
    misses = np.empty((len(told), len(pool)))
    for index, (target, _) in enumerate(wanted):
        own = pool.target == index
        for copy, learned in enumerate(told[:, own]):
            values = dict(zip(names, [*in_units(model, learned).T, fraction[own]], strict=True))
            misses[copy, own] = distance(gaps(replace(target, intervals=target.goal), values, tools.inversion))
    return replace(pool, predicted=predicted, names=names, miss=np.sqrt((misses**2).mean(axis=0)))
