"""Where a campaign's first samples come from, and whether they and the test set may be used."""

from pathlib import Path

from janus_al import dataset
from janus_al.dataset import Samples
from janus_al.identity import canonical_hash, canonical_hashes, check_test
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
        training = [canonical_hash(image, config.microstructure.boundary) for image in images]
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
    asked = ((wanted.size, wanted.size), wanted.phase_conductivity, wanted.boundary)
    if kind != asked:
        raise ConfigError(
            f"{path}: holds (size, phase_conductivity, boundary) {kind} but the configuration asks {asked}"
        )
    if not samples.simulated.any():
        raise ConfigError(f"{path}: none of its images is simulated; simulate some, as `janus-al import` does")
    return samples
