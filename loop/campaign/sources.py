"""Where a campaign's first samples come from, and whether they and the test set may be used."""

from pathlib import Path

from janus_al import dataset
from janus_al.identity import canonical_hash, canonical_hashes, check_test
from janus_al.material import joined
from janus_al.properties import PropertyError
from janus_al.samples import Samples
from janus_al.training import check_samples
from loop.campaign.config import CampaignConfig, ConfigError


def check_source(config: CampaignConfig) -> None:
    """Refuse samples that do not fit a configuration, and a test set that shares images with what is trained on.

    Raises:
        ConfigError: another size, other phases or another boundary.
        DatasetError: a file is damaged.
        LeakageError: training images in the test set.
    """
    source, settings = read_source(config), config.dataset
    if settings.test is None:
        return
    if source is not None:
        training = canonical_hashes(source)
    else:
        assert settings.generate is not None
        from simulators import generate

        images = generate(settings.generate.count, config.microstructure.size, config.seed)
        training = [canonical_hash(image, config.material.boundary) for image in images]
    check_test(_read(settings.test, config), training, str(settings.test))


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
    asked = ((wanted.size, wanted.size), config.material.phase_conductivity, wanted.boundary)
    if lacking := [name for name in config.material.simulated if name not in samples.material.simulated]:
        have = ", ".join(samples.material.simulated)
        raise ConfigError(f"{path}: its samples have {have} but the configuration asks {lacking[0]} of its physics")
    if kind != asked:
        raise ConfigError(
            f"{path}: holds (size, phase_conductivity, boundary) {kind} but the configuration asks {asked}"
        )
    try:
        joined(samples.material, config.material)
    except PropertyError as error:
        raise ConfigError(f"{path}: {error}") from None
    if not samples.simulated.any():
        raise ConfigError(f"{path}: none of its images is simulated; simulate some, as `janus-al import` does")
    return samples
