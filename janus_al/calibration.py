"""Calibration: after a training, what the head still gets wrong of its simulated samples, as far as it is linear.

    log p = log_mean + log_std P(z),    P(z) = head(z) + tilt . z

Gradient steps also serve sensitivities that are finer than the latent space can follow, which shrinks a head's range,
and images that nobody simulated; they leave it as far off on what it has seen as on what it has not. So a slope and an
offset of each property are fitted to the simulated samples, and then a linear function of the latent vector: by ridge
regression (Hoerl & Kennard 1970), as strong as images left out ask for, and not at all where these do not gain by it.
"""

import numpy as np
import torch
from numpy.typing import NDArray

from janus_al.batches import Symmetry, held_out, learned
from janus_al.networks.janus import Janus
from janus_al.properties import orbits
from janus_al.samples import Samples

Array = NDArray[np.float64]
FEWEST = 16
"""values to which a scaling is fitted; fewer are not worth it"""
COPIES = 8
"""symmetric ones of each image that are asked, drawn at random"""
FOLDS = 5
"""parts of the images, each of which is left out once"""
RIDGES = 1e-5, 1e-3, 1e-1
"""strengths, in squares of latent numbers, whose standard deviations are a tenth to one after a training"""


@torch.no_grad()
def calibrate(model: Janus, samples: Samples, validation: float = 0.0) -> None:
    """Fit slope, offset and tilt of each property to the simulated samples, in place.

    Args:
        model: a network of properties.
        samples: those that it was trained on.
        validation: the part of them that was held out; nothing is fitted to it.
    """
    truth = learned(samples, model.config.properties)
    known = np.isfinite(truth).any(axis=1)
    own = known & ~held_out(samples, validation)
    rows = np.tile(np.flatnonzero(own if own.any() else known), COPIES)
    z, truth = _copies(model, samples, truth, rows)
    _rescale(model, z, truth)
    _tilt(model, z, truth, rows)


def _copies(model: Janus, samples: Samples, truth: Array, rows: NDArray[np.intp]) -> tuple[torch.Tensor, Array]:
    """Latent vectors of these samples, each turned at random, and what is true of them then."""
    names, grid = model.config.properties, samples.image.shape[1:]
    turned = Symmetry.drawn(len(rows), grid, names, samples.boundary == "periodic", np.random.default_rng(0))
    starts, device = range(0, len(rows), model.config.together), model.log_mean.device
    parts = [slice(start, start + model.config.together) for start in starts]
    images = (turned.part(p).of_images(torch.tensor(samples.image[rows[p]], device=device)) for p in parts)
    z = torch.cat([model.encode(x.float()) for x in images])
    return z[:, : model.config.latent], turned.of_properties(torch.tensor(truth[rows])).numpy()


def _said(model: Janus, z: torch.Tensor) -> Array:
    """By the head, on the scale on which properties are learned."""
    return (model.predict(z) * model.log_std + model.log_mean).double().cpu().numpy()


def _rescale(model: Janus, z: torch.Tensor, truth: Array) -> None:
    """Slope and offset, one for all properties that symmetries exchange."""
    said = _said(model, z)
    for group, signed in orbits(model.config.properties, model.config.dim):
        x, y = (values[:, group].ravel() for values in (said, truth))
        x, y = x[np.isfinite(y)], y[np.isfinite(y)]
        if len(x) < FEWEST * COPIES:
            continue
        slope, offset = ((x @ y) / (x @ x), 0.0) if signed else np.polyfit(x, y, 1)
        if slope > 0:
            model.log_std[group] *= float(slope)
            model.log_mean[group] = model.log_mean[group] * float(slope) + float(offset)


def _tilt(model: Janus, z: torch.Tensor, truth: Array, image: NDArray[np.intp]) -> None:
    """What is linear in the latent vector of the errors left, where that foretells those of images left out."""
    left = truth - _said(model, z)
    latent = z.double().cpu().numpy()
    for column, std in enumerate(model.log_std.tolist()):
        here = np.isfinite(left[:, column])
        x, y, own = latent[here], left[here, column] / std, image[here]
        if len(y) < FEWEST * COPIES:
            continue
        gains = [_gain(x, y, own, ridge) for ridge in RIDGES]
        mean, noise = max(gains)
        if mean > noise:
            weight, offset = _ridge(x, y, RIDGES[gains.index((mean, noise))])
            model.tilt[column] += torch.tensor(weight).to(model.tilt)
            model.head.bias[column] += offset


def _gain(x: Array, y: Array, image: NDArray[np.intp], ridge: float) -> tuple[float, float]:
    """By how much the mean square of an image falls where the images of other parts tell, and its standard error."""
    missed = np.empty(len(y))
    for part in range(FOLDS):
        out = image % FOLDS == part
        weight, offset = _ridge(x[~out], y[~out], ridge)
        missed[out] = y[out] - x[out] @ weight - offset
    count = np.bincount(image)
    fell = np.bincount(image, np.square(y) - np.square(missed))[count > 0] / count[count > 0]
    return float(fell.mean()), float(fell.std() / len(fell) ** 0.5)


def _ridge(x: Array, y: Array, ridge: float) -> tuple[Array, float]:
    """Weights and offset."""
    middle, mean = x.mean(axis=0), float(y.mean())
    centred = x - middle
    weight = np.linalg.solve(centred.T @ centred + ridge * len(x) * np.eye(x.shape[1]), centred.T @ (y - mean))
    return weight, mean - float(middle @ weight)
