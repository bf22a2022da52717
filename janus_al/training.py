"""Training of Janus on samples, of which some were simulated and the rest train the label-free terms.

L = l_task L_task + l_rec L_rec + l_cyc |z - E(D(z))| + l_deep |D(z) - D(E(D(z)))| + l_sens L_sens
"""

from collections.abc import Sequence
from dataclasses import asdict

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from janus_al import losses
from janus_al.batches import Data, Symmetry
from janus_al.calibration import calibrate
from janus_al.checkpoint import Card
from janus_al.defaults import defaults
from janus_al.fitting import ALONE, Run, TrainingConfig, TrainingError, fit, network_for, sides
from janus_al.identity import HASH_DIGITS, canonical_hashes
from janus_al.likeness import Likeness
from janus_al.networks.janus import Janus, JanusConfig
from janus_al.networks.media import Conducting
from janus_al.samples import Samples


def train(
    samples: Samples,
    network: JanusConfig | None = None,
    config: TrainingConfig | None = None,
    seed: int = 0,
    run: Run = ALONE,
    start: Janus | None = None,
) -> tuple[Janus, Card]:
    """Train a model.

    Args:
        samples: with at least two of them simulated.
        network: what to build, unless `start` gives a model to go on from; if None, the default one `suited` to them.
        config: losses, steps, rates; the defaults for so many axes if None.
        seed: of everything random.
        run: where to train, a file that keeps the state, and whom to tell.
        start: weights to start from; its scaling of log k is kept.

    Raises:
        TrainingError: if the samples cannot train this network, or training diverges.
    """
    default, usual = defaults(samples.image.shape[1:], samples.material)
    config = config or usual
    network = network or suited(samples, default, config)
    check_samples(samples, network)
    model = build(network, seed) if start is None else start
    if start is None and isinstance(model.encoder, Conducting):
        model.encoder.begin(max((samples.material.contrast(n) for n in model.config.properties), key=abs))
    data = Data(samples, model, config, run.device, fit_scaling=start is None)
    if start is None:
        model.trust_media([samples.material.middle(name) for name in model.config.properties])
    fitted = fit(
        model,
        lambda step: _losses(model, data, config, np.random.default_rng([seed, step])),
        lambda judged: _validation(judged, data, config),
        config,
        repr((config, model.config, seed, samples.digest())),
        run,
    )
    if config.calibrate:
        calibrate(model, samples, config.validation)
    update_latent_moments(model, samples)
    card = Card(
        material=samples.material,
        dataset_digest=samples.digest(),
        simulated=int(samples.simulated.sum()),
        training={**asdict(config), "seed": seed},
        seconds=fitted.seconds,
        history=fitted.history,
        images=[key[:HASH_DIGITS] for key in canonical_hashes(samples)],
        property_range=property_range(samples, model.config.properties),
        likeness=Likeness.of(samples.image, samples.boundary),
        pixel=samples.pixel,
    )
    return model, card


def property_range(samples: Samples, names: Sequence[str]) -> dict[str, tuple[float, float]]:
    """5th and 95th percentile of each property among the simulated samples that have it."""
    found = {}
    for name in names:
        known = samples.column(name)[np.isfinite(samples.column(name))]
        if known.size:
            low, high = np.percentile(known, [5, 95]).tolist()
            found[name] = (low, high)
    return found


def build(network: JanusConfig, seed: int) -> Janus:
    """A fresh network whose weights depend on the seed alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Janus(network)


@torch.no_grad()
def update_latent_moments(model: Janus, samples: Samples) -> None:
    """Mean and standard deviation of the encoded dataset, from which inversions start."""
    z = encode(model, samples.image)
    model.latent_mean.copy_(z.mean(dim=0))
    model.latent_std.copy_(z.std(dim=0) + 1e-6)


@torch.no_grad()
def encode(model: Janus, images: NDArray[np.uint8]) -> Tensor:
    """Latent vectors of labels (n, *grid)."""
    device = model.log_mean.device
    parts = torch.tensor(images).split(model.config.together)
    return torch.cat([model.encode(part.to(device).float()) for part in parts])


def suited(samples: Samples, network: JanusConfig, config: TrainingConfig) -> JanusConfig:
    """The network for these samples' size and boundary, after all checks that training them asks for.

    Raises:
        TrainingError: if the samples or the settings cannot train it.
    """
    network = network_for(samples.image.shape[1:], samples.material, network, config)
    check_samples(samples, network)
    return network


def check_samples(samples: Samples, network: JanusConfig) -> None:
    """Refuse samples that cannot train a network.

    Raises:
        TrainingError: of another size, of other than two phases, or with fewer than two simulated.
    """
    grid = samples.image.shape[1:]
    if grid != network.grid:
        raise TrainingError(f"images of {sides(grid)} pixels: this network wants {sides(network.grid)}")
    if samples.material.phases != 2:
        raise TrainingError(f"{samples.material.phases} phases: Janus designs two-phase microstructures")
    if len(set(samples.phase_conductivity)) == 1:
        raise TrainingError(f"phases of {samples.phase_conductivity}: equal, so that every image conducts alike")
    if samples.simulated.sum() < 2:
        raise TrainingError(
            f"{samples.simulated.sum()} simulated samples: training needs at least 2; simulate some first"
        )
    if missing := [n for n in network.properties if n not in samples.material.simulated]:
        raise TrainingError(
            f"property {missing[0]}: the samples have {', '.join(samples.material.simulated)}; simulate it, or train "
            "for those"
        )
    for name in network.properties:
        if np.isfinite(samples.column(name)).sum() < 2:
            raise TrainingError(f"property {name}: fewer than 2 samples have it; simulate some first")


def _losses(model: Janus, data: Data, config: TrainingConfig, rng: np.random.Generator) -> dict[str, Tensor]:
    """The terms of one step, by name, in the order of the module's equation."""
    rows = rng.choice(data.simulated, config.simulated, p=data.often)
    others = rng.choice(data.train, config.batch - config.simulated)
    grid = tuple(data.x.shape[1:])
    turned, turned_others = (Symmetry.drawn(len(r), grid, data.names, data.periodic, rng) for r in (rows, others))
    x = turned.of_images(data.x[rows].float())
    y, known = turned.of_properties(data.y[rows]), turned.of_properties(data.known[rows])
    x.requires_grad_(config.l_sens > 0)
    z = model.encode(x)
    predicted = model.predict(z)
    terms = {"task": (predicted - y).square()[known].mean()}
    steep = turned.of_properties(data.steep[rows])
    if config.l_sens and steep.any():
        slope = turned.of_properties(turned.of_images(data.slope[rows] * data.scale))
        weights = torch.tensor(rng.standard_normal(predicted.shape), dtype=torch.float32, device=x.device) * steep
        weights = weights / weights.norm(dim=1, keepdim=True).clamp(min=1e-12)
        terms["sens"] = losses.sensitivity(predicted, x, slope, weights, config.pool * model.config.block)
    if config.l_rec or config.l_cyc or config.l_deep:
        x = x.detach()
        if len(others):
            more = turned_others.of_images(data.x[others].float())
            x, z = torch.cat([x, more]), torch.cat([z, model.encode(more)])
        logits = model.decode_logits(z)
        terms["rec"] = losses.reconstruction(logits, x, config.reconstruction)
        if config.l_cyc or config.l_deep:
            decoded = torch.sigmoid(logits[-config.cycled :])
            again = model.encode(decoded)
            terms["cyc"] = losses.cycle(z[-config.cycled :], again)
            if config.l_deep:
                terms["deep"] = losses.deep_cycle(decoded, model.decode(again))
    return terms


@torch.no_grad()
def _validation(model: Janus, data: Data, config: TrainingConfig) -> float:
    """Task and reconstruction loss, weighted, of the held-out images; 0 where nothing is held out."""
    score = 0.0
    if len(data.held_simulated):
        rows = data.held_simulated
        predicted = model.predict(model.encode(data.x[rows].float()))
        score += config.l_task * float((predicted - data.y[rows]).square()[data.known[rows]].mean())
    if len(data.held):
        x = data.x[data.held[: model.config.together]].float()
        logits = model.decode_logits(model.encode(x))
        score += config.l_rec * float(losses.reconstruction(logits, x, config.reconstruction))
    return score
