"""Aiming: what an inversion leaves between the opinion of its image and the goal is closed before anything is paid for.

    cut -> opinions of its copies, and their slopes -> flips along these -> opinions -> ... -> the nearest to the goal

Refinement (`loop.design.refine`), with the network in the place of physics. It costs no simulation; what it is worth
depends on which is larger, what inversions leave or what the network errs by (docs/results/refinement.md).
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from janus_al.likeness import Likeness
from janus_al.networks.janus import Janus
from loop.design.candidates import Candidate
from loop.design.generators import Tools
from loop.design.generators.level import level, ranked
from loop.design.generators.lookup import log_contrast
from loop.design.generators.opinion import second_opinion
from loop.design.pool import Image, Pool, Wanted
from loop.design.refine import Refinement, refine
from loop.design.thinking import narrow
from simulators import Result


def aimed(pool: Pool, wanted: Wanted, model: Janus, tools: Tools, likeness: Likeness | None = None) -> Pool:
    """A pool whose images meet their goals by the network's second opinion, as nearly as a few flips bring them."""
    if len(pool) and tools.inversion.aim_steps:
        goals = [narrow(target, tools.inversion) for target, _ in wanted]
        found = [
            Candidate(goals[index], False, grey, {}, boundary=tools.boundary)
            for grey, index in zip(pool.field, pool.target, strict=True)
        ]
        how = Refinement(tools.material, tools.inversion.aim_steps, inversion=tools.inversion, likeness=likeness)
        refine(found, lambda images: thoughts(model, tools, images), how)
        fields = [_field(c.image, tools) if c.best and 0 < c.image.mean() < 1 else c.field for c in found]
        pool = replace(pool, field=np.stack(fields))
    return second_opinion(pool, wanted, model, tools)


def thoughts(model: Janus, tools: Tools, images: Sequence[Image]) -> list[Result | None]:
    """What the network thinks of images, as if it had simulated them; None where that is not finite."""
    from janus_al.opinions import in_units, opinion_and_slopes

    names = model.config.properties
    contrast = {n: log_contrast(tools.material, n) for n in names}
    told, slopes = opinion_and_slopes(model, np.stack(images))
    return [
        Result(
            dict(zip(names, values.tolist(), strict=True)),
            sensitivity={n: own / contrast[n] for n, own in zip(names, slope, strict=True) if contrast[n]},
        )
        if np.isfinite(values).all() and np.isfinite(slope).all()
        else None
        for values, slope in zip(in_units(model, told), slopes, strict=True)
    ]


def _field(image: Image, tools: Tools) -> NDArray[np.float32]:
    return ranked(level(image, tools.boundary), int(image.sum()))
