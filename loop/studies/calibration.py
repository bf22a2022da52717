"""What a model's own proposals turn out to be, simulated once and kept in its card: so it tells before anyone pays."""

import dataclasses

import numpy as np

from janus_al.checkpoint import Card
from janus_al.networks.janus import Janus
from janus_al.properties import FRACTION, row_of
from janus_al.samples import Samples
from loop.design.candidates import probe_targets
from loop.design.targets import Target, interval
from loop.simulation.simulate import Execution
from loop.studies.single import shots_at, tools_of


def calibrated(model: Janus, card: Card, samples: Samples, count: int, execution: Execution) -> Card:
    """A card with what the model's own proposals turn out to be, from which `loop.design.confidence` makes intervals.

    Args:
        model: whose card it is.
        card: which is replaced.
        samples: simulated; every other proposal is for all properties of one of them that are above 0, at once.
        count: of proposals; the others are for one property, spread over the range of its training data.
        execution: how to simulate.

    Raises:
        HomogenizationError: a proposal could not be simulated.
    """
    single = probe_targets(card.property_range, count - count // 2)
    names = [name for name in model.config.properties if row_of(name).log]
    values = np.column_stack([samples.column(name) for name in names])
    values = values[np.isfinite(values).all(axis=1)]
    rows = values[np.linspace(0, len(values) - 1, count // 2).astype(int)] if len(values) else values
    joint = [
        Target("probe", {n: interval(n, v, 0.01) for n, v in zip(names, row.tolist(), strict=True)}) for row in rows
    ]
    shots = shots_at(tools_of(model, card), [*single, *joint], 1, execution)
    kept = (*model.config.properties, FRACTION.name)
    tables = [{"predicted": c.predicted, "first_shot": c.trials[0].properties} for c in shots]
    proposals = [
        {told: {name: float(f"{t[name]:.6g}") for name in kept if name in t} for told, t in table.items()}
        for table in tables
    ]
    return dataclasses.replace(card, proposals=proposals)
