"""Janus on images with classes, such as handwritten digits: the head gives the classes' logits.

The loss, the loop and the inversion are those of microstructures, with cross-entropy for the task.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from janus_al import losses
from janus_al.batches import translate
from janus_al.fitting import ALONE, Fit, Run, TrainingConfig, fit
from janus_al.inversion import InversionConfig, descend
from janus_al.networks.janus import Janus

Grey = NDArray[np.uint8]
SHIFT = 2
"""pixels by which training images are moved at most, and by which they are padded"""


@dataclass(frozen=True)
class Labelled:
    """Grey images (n, side, side) of 0..255 and the class of each, (n,)."""

    image: Grey
    label: NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.image)


def pixels(image: Grey) -> Tensor:
    """Images of 0..1 with a black frame of `SHIFT` pixels: (n, side + 2 SHIFT, side + 2 SHIFT)."""
    return F.pad(torch.tensor(image).float() / 255, (SHIFT,) * 4)


def train_classes(model: Janus, data: Labelled, config: TrainingConfig, seed: int, run: Run = ALONE) -> Fit:
    """Train on images moved at random by up to `SHIFT` pixels; every epoch sees each image once. See `fit`."""
    x, label = pixels(data.image).to(run.device), torch.tensor(data.label, device=run.device).long()
    epoch = max(1, len(data) // config.batch)

    def terms(step: int) -> dict[str, Tensor]:
        order = np.random.default_rng([seed, 1, step // epoch]).permutation(len(data))
        rows = order[(step % epoch) * config.batch :][: config.batch]
        rng = np.random.default_rng([seed, 2, step])
        moved = translate(x[rows], rng.integers(-SHIFT, SHIFT + 1, size=(2, len(rows))))
        z = model.encode(moved)
        logits = model.decode_logits(z)
        grey = torch.sigmoid(logits[: config.cycled])
        again = model.encode(grey)
        return {
            "task": F.cross_entropy(model.predict(z), label[rows]),
            "rec": losses.reconstruction(logits, moved, config.reconstruction),
            "cyc": losses.cycle(z[: config.cycled], again),
            "deep": losses.deep_cycle(grey, model.decode(again)),
        }

    return fit(model, terms, lambda _: 0.0, config, repr((config, seed, len(data))), run)


@torch.no_grad()
def evaluate_classes(model: Janus, data: Labelled) -> dict[str, float]:
    """Accuracy of the head and mean absolute pixel error of the decodes, frame excluded."""
    right, error = 0, 0.0
    for start in range(0, len(data), 500):
        x = pixels(data.image[start : start + 500]).to(model.log_mean.device)
        z = model.encode(x)
        right += int((model.predict(z).argmax(dim=1).cpu().numpy() == data.label[start : start + 500]).sum())
        difference = (model.decode(z) - x).abs()[:, SHIFT:-SHIFT, SHIFT:-SHIFT]
        error += float(difference.mean(dim=(1, 2)).sum())
    return {"accuracy": right / len(data), "pixel_mae": error / len(data)}


@torch.no_grad()
def class_moments(model: Janus, data: Labelled) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of the encoded images of each class, (classes, latent) each."""
    device = model.log_mean.device
    z = torch.cat([model.encode(pixels(part).to(device)) for part in np.array_split(data.image, len(data) // 500 + 1)])
    members = [z[torch.tensor(data.label == c, device=device)] for c in range(len(model.config.properties))]
    return torch.stack([m.mean(dim=0) for m in members]), torch.stack([m.std(dim=0) + 1e-6 for m in members])


def invert_classes(
    model: Janus,
    wanted: NDArray[np.integer],
    prior: tuple[Tensor, Tensor],
    seed: int,
    config: InversionConfig,
    progress: Callable[[int, int], None] = lambda step, steps: None,
) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """One image for each class of `wanted`, and the head's confidence in that class on the decode encoded again.

    Args:
        model: trained.
        wanted: classes (n,).
        prior: `class_moments`; a member starts from its class's normal distribution and is held to it.
        seed: of the starting points.
        config: steps and weights; `l_binary` weights the decode's own class here, uncut.
        progress: told the step reached and the number of steps.
    """
    classes = torch.tensor(wanted, device=model.log_mean.device).long()
    mean, std = (moment[classes] for moment in prior)
    starts = [np.random.default_rng([seed, member]).standard_normal(mean.shape[1]) for member in range(len(wanted))]
    noise = torch.tensor(np.array(starts), dtype=torch.float32, device=mean.device)

    def task(z: Tensor, grey: Tensor) -> Tensor:
        seen = model.predict(model.encode(grey))
        return config.l_task * F.cross_entropy(
            model.predict(z), classes, reduction="none"
        ) + config.l_binary * F.cross_entropy(seen, classes, reduction="none")

    z = descend(model, mean + std * noise, task, (mean, std), config, progress)
    with torch.no_grad():
        grey = model.decode(z)
        confidence = torch.softmax(model.predict(model.encode(grey)), dim=1)
        own = confidence.gather(1, classes[:, None]).squeeze(1)
    return grey[:, SHIFT:-SHIFT, SHIFT:-SHIFT].cpu().numpy(), own.double().cpu().numpy()
