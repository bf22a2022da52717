"""How good a model is on samples it need not have seen."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from janus_al.networks.janus import Janus
from janus_al.properties import row_of
from janus_al.samples import Samples


@torch.no_grad()
def evaluate(model: Janus, samples: Samples) -> dict[str, Any]:
    """R^2 and relative error of each property, pixel, cycle and deep-cycle error.

    Errors of properties with a sign are relative to their root mean square.
    `pixel_mae` is the mean absolute difference of an image and its grey decode, `pixels_wrong` the part of
    pixels that differ once the decode is cut at 0.5; `cycle_mae` is the mean |z - E(D(z))| and
    `deep_cycle_mae` the mean |D(z) - D(E(D(z)))|.
    """
    model.eval()
    device = model.log_mean.device
    x = torch.tensor(samples.image, device=device).float()
    z = torch.cat([model.encode(part) for part in x.split(model.config.together)])
    decoded = torch.cat([model.decode(part) for part in z.split(model.config.together)])
    again = torch.cat([model.encode(part) for part in decoded.split(model.config.together)])
    deep = torch.cat([model.decode(part) for part in again.split(model.config.together)])
    predicted = model.values(z).cpu().double().numpy()
    errors = _relative(model, samples, predicted)
    properties = {}
    for column, name in enumerate(model.config.properties):
        rows = np.flatnonzero(np.isfinite(samples.column(name)))
        truth, guess, error = samples.column(name)[rows], predicted[rows, column], errors[rows, column]
        spread = np.sum((truth - truth.mean()) ** 2) if len(rows) else 0.0
        properties[name] = {
            "r2": float(1 - np.sum((guess - truth) ** 2) / spread) if spread > 0 else None,
            "relative_error_mean": float(error.mean()) if len(rows) else None,
            "relative_error_median": float(np.median(error)) if len(rows) else None,
        }
    return {
        "samples": len(samples),
        "simulated": int(samples.simulated.sum()),
        "properties": properties,
        "pixel_mae": float((decoded - x).abs().mean()),
        "pixels_wrong": float(((decoded > 0.5) != (x > 0.5)).float().mean()),
        "cycle_mae": float((again - z).abs().mean()),
        "deep_cycle_mae": float((deep - decoded).abs().mean()),
    }


@torch.no_grad()
def relative_errors(model: Janus, samples: Samples) -> NDArray[np.float64]:
    """Relative error of each property of each image, (n, properties), as in `evaluate`; NaN where it is not known."""
    model.eval()
    x = torch.tensor(samples.image, device=model.log_mean.device).float()
    z = torch.cat([model.encode(part) for part in x.split(model.config.together)])
    return _relative(model, samples, model.values(z).cpu().double().numpy())


def _relative(model: Janus, samples: Samples, predicted: NDArray[np.float64]) -> NDArray[np.float64]:
    truth = np.stack([samples.column(name) for name in model.config.properties], axis=1)
    mean_square = np.nanmean(np.where(np.isfinite(truth).any(axis=0), truth, 1.0) ** 2, axis=0)
    log = np.array([row_of(name).log for name in model.config.properties])
    errors: NDArray[np.float64] = np.abs((predicted - truth) / np.where(log, truth, np.sqrt(mean_square)))
    return errors
