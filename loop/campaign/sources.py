"""Where a campaign's first samples and model come from, and whether they and the test set may be used."""

import contextlib
import dataclasses
import shlex
from pathlib import Path

from janus_al import checkpoint, dataset
from janus_al.checkpoint import Card
from janus_al.fitting import sides
from janus_al.identity import canonical_hash, canonical_hashes, check_test
from janus_al.lengths import agreed
from janus_al.material import joined
from janus_al.networks.janus import Janus, JanusConfig
from janus_al.properties import PropertyError
from janus_al.samples import Samples
from janus_al.training import check_samples
from loop.campaign.config import CampaignConfig, ConfigError
from loop.design.targets import Target


def check_source(config: CampaignConfig) -> None:
    """Refuse samples and a model that do not fit, and a test set that shares images with what is trained on.

    Raises:
        ConfigError: another size, other phases or another boundary; a network that is not the model's.
        DatasetError: a file is damaged.
        LeakageError: training images in the test set.
    """
    source, start, settings, path = read_source(config), read_start(config), config.dataset, config.network.start
    if not config.has_samples and path is not None and start is not None and start[1].likeness is None:
        for target in config.targets():
            if target.geometry.like is not None:
                raise ConfigError(f"target {target.name}: {unlike(target, path)}")
    if settings.test is None:
        return
    training = [] if start is None else list(start[1].images)
    if source is not None:
        training += canonical_hashes(source)
    elif settings.generate is not None:
        from simulators import generate

        images = generate(settings.generate.count, config.microstructure.grid, config.seed)
        training += [canonical_hash(image, config.material.boundary) for image in images]
    check_test(_read(settings.test, config), training, str(settings.test))


def unlike(target: Target, path: Path) -> str:
    """Why a target's likeness cannot be told with the model in a folder, and the mend."""
    model, card = checkpoint.load(path)
    asked = f"like = {target.geometry.like:g} needs a class to compare with, and the card of {path} has"
    if card.likeness is not None:
        return f"{asked} that of images of {sides(model.config.grid)}; design at this size, or leave out like"
    return f"{asked} none; `janus-al evaluate {shlex.quote(str(path))} DATA.h5 --likeness` puts that of a dataset there"


def read_start(config: CampaignConfig) -> tuple[Janus, Card] | None:
    """The trained model to start from, checked against the configuration; None if there is none.

    Raises:
        ConfigError: it is for other images, or of another network.
        FileNotFoundError, DatasetError: there is none, or it is damaged.
    """
    path, wanted = config.network.start, config.microstructure
    if path is None:
        return None
    model, card = checkpoint.load(path)
    with contextlib.suppress(ValueError):
        model, card = checkpoint.enlarged(model, card, wanted.grid)
    network = dataclasses.replace(model.config, coarsen=model.config.block)
    pairs: list[tuple[str, object, object]] = [
        (f"microstructure.{name}", getattr(wanted, name), getattr(network, name)) for name in ("dim", "size")
    ]
    for field in dataclasses.fields(JanusConfig):
        pairs.append((f"network.{field.name}", getattr(config.network, field.name), getattr(network, field.name)))
    try:
        joined(card.material, config.material)
    except PropertyError as error:
        raise ConfigError(
            f"the model to start from, {path}, is of another material: {error}; start from another"
        ) from None
    _check_pixel(path, card.pixel, config)
    for key, asked, has in pairs:
        if asked != has:
            more = ", or a whole number of times as many pixels" if key.endswith(".size") else ""
            raise ConfigError(
                f"{key} {asked!r}: the model to start from, {path}, has {has!r}; put that{more}, or start from another"
            )
    return model, card


def read_source(config: CampaignConfig) -> Samples | None:
    """The source dataset, checked against the configuration; None if it is to be generated."""
    if config.dataset.source is None:
        return None
    source = _read(config.dataset.source, config)
    check_samples(source, config.network)
    return source


def _read(path: Path, config: CampaignConfig) -> Samples:
    samples, wanted = dataset.read(path), config.microstructure
    kind = (samples.image.shape[1:], samples.phase_conductivity, samples.boundary)
    asked = (wanted.grid, config.material.phase_conductivity, wanted.boundary)
    if lacking := [name for name in config.material.simulated if name not in samples.material.simulated]:
        have = ", ".join(samples.material.simulated)
        raise ConfigError(
            f"{path}: its samples have {have} but the configuration asks {lacking[0]} of its physics; "
            "have them simulated by [dataset.generate] instead, which asks all physics"
        )
    if kind != asked:
        raise ConfigError(
            f"{path}: holds (size, phase_conductivity, boundary) {kind} but the configuration asks {asked}"
        )
    try:
        joined(samples.material, config.material)
    except PropertyError as error:
        raise ConfigError(f"{path}: {error}") from None
    _check_pixel(path, samples.pixel, config)
    if not samples.simulated.any():
        raise ConfigError(f"{path}: none of its images is simulated; simulate some, as `janus-al import` does")
    return samples


def _check_pixel(path: Path, has: str, config: CampaignConfig) -> None:
    """Refuse what has pixels of another length than the configuration says, where either says any."""
    try:
        agreed(config.microstructure.pixel, has)
    except ValueError:
        raise ConfigError(
            f"microstructure.pixel {config.microstructure.pixel}: {path} has pixels of {has}; put that, or leave it out"
        ) from None
