"""Configurations from and to TOML: laid over each other, refused in a sentence, compared with how a campaign began."""

import contextlib
import dataclasses
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from functools import reduce
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from janus_al import checkpoint, dataset
from janus_al.defaults import STARTED, usual
from janus_al.errors import one_line
from janus_al.fitting import TrainingConfig
from janus_al.networks.janus import JanusConfig
from janus_al.settings import given, instead, misspelt, rule
from janus_al.shipped import shipped
from loop.campaign.config import CampaignConfig, ConfigError, Section
from loop.campaign.sections import Microstructure, Subject

Kind = TypeVar("Kind", bound=BaseModel)


RETIRED = {"loop": ("shrink", "perturb")}
"""keys that campaigns of earlier versions were stored with, by table, and that mean nothing any more"""


class _TrainingFile(Section):
    network: JanusConfig = JanusConfig()
    training: TrainingConfig = TrainingConfig()


def load_config(path: Path, weights: Path | None = None, overrides: Sequence[str] = ()) -> CampaignConfig:
    """Read and check a configuration, with the tables of a weights file and then `overrides` laid over it.

    Raises:
        ConfigError: in one sentence, with the key, its value and the rule.
    """
    return combined(CampaignConfig, path, [_read_toml(path), *_more(weights, overrides)])


def _network_of_start(tables: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The network of the model that a campaign starts from, unless its tables say all of it, as stored ones do."""
    whole = reduce(_overlay, tables, dict[str, Any]())
    network, asked = whole.get("network"), whole.get("microstructure")
    if not isinstance(network, dict) or not isinstance(start := network.get("start"), str):
        return {}
    followed = {f.name for f in dataclasses.fields(JanusConfig)} - {"dim", "size", "padding"}
    if followed <= network.keys():
        return {}
    model, _ = checkpoint.load(Path(start))
    network = model.config
    with contextlib.suppress(ValueError):  # what cannot be designed, or not by this model, is refused later, by name
        network = model.enlarged(Microstructure.model_validate(asked).grid).config
    return {"network": {name: getattr(network, name) for name in followed} | {"coarsen": network.block}}


def _usual(tables: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The settings of images such as the tables ask for; what cannot be asked for is refused later, by name."""
    with contextlib.suppress(ValueError):
        asked = Subject.model_validate(overlaid(tables))
        proposer = {"loop": {"generator": "mixed"}} if asked.learned else {}
        return overlaid([usual(asked.microstructure.grid, asked.material), STARTED if asked.started else {}, proposer])
    return {}


def pixel_told(tables: Sequence[dict[str, Any]]) -> str:
    """A pixel's length: as tables say, or, where they leave it to these, of their dataset or model to start from."""
    asked = {name: table for name, table in overlaid(tables).items() if isinstance(table, dict)}
    source, start = asked.get("dataset", {}).get("source"), asked.get("network", {}).get("start")
    if "pixel" in asked.get("microstructure", {}):
        return str(asked["microstructure"]["pixel"])
    known = dataset.pixel_of(Path(source)) if isinstance(source, str) else ""
    if known or not isinstance(start, str):
        return known
    model, card = checkpoint.load(Path(start))
    with contextlib.suppress(ValueError):  # see above
        card = checkpoint.enlarged(model, card, Microstructure.model_validate(asked.get("microstructure")).grid)[1]
    return card.pixel


def parse_config(text: str, overrides: Sequence[str] = ()) -> CampaignConfig:
    """`load_config` of a TOML file's text."""
    where = Path("configuration")
    return _validate(CampaignConfig, where, [_parse_toml(where, text), *_more(None, overrides)])


def load_as(kind: type[Kind], path: Path, overrides: Sequence[str] = ()) -> Kind:
    """Read and check a file of another kind, with `overrides` laid over it.

    Raises:
        ConfigError: in one sentence, with the key, its value and the rule.
    """
    return combined(kind, path, [_read_toml(path), *_more(None, overrides)])


def overlaid(tables: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Nested tables, each laid over those before it."""
    return reduce(_overlay, tables, dict[str, Any]())


def combined(kind: type[Kind], where: Path, tables: Sequence[dict[str, Any]]) -> Kind:
    """What tables say, laid over each other; `where` they are from begins the sentence of a refusal.

    Raises:
        ConfigError: in one sentence, with the key, its value and the rule.
    """
    if kind is not CampaignConfig:
        return _validate(kind, where, tables)
    pixel = {"microstructure": {"pixel": known}} if (known := pixel_told(tables)) else {}
    return _validate(kind, where, [_usual(tables), _network_of_start(tables), pixel, *tables])


def load_training(
    weights: Path | None,
    overrides: Sequence[str],
    network: JanusConfig | None = None,
    training: TrainingConfig | None = None,
) -> tuple[JanusConfig, TrainingConfig]:
    """Network and training settings: defaults, with a weights file and then `overrides` laid over them."""
    base = {"network": network or JanusConfig(), "training": training or TrainingConfig()}
    tables = [_TrainingFile.model_validate(base).model_dump(mode="json"), *_more(weights, overrides)]
    settings = _validate(_TrainingFile, weights or Path("--set"), tables)
    return settings.network, settings.training


def _more(weights: Path | None, overrides: Sequence[str]) -> list[dict[str, Any]]:
    tables = [] if weights is None else [_read_toml(weights)]
    for override in overrides:
        key, equals, word = override.partition("=")
        try:
            table = tomllib.loads(f"{key.strip()} = {word.strip()}")
        except (ValueError, RecursionError):
            try:
                table = tomllib.loads(f'{key.strip()} = "{word.strip()}"')
            except (ValueError, RecursionError):
                raise ConfigError(f"--set {override}: write section.key=value") from None
        if not equals:
            raise ConfigError(f"--set {override}: write section.key=value")
        tables.append(table)
    return tables


def _read_toml(path: Path) -> dict[str, Any]:
    path = shipped(path)
    if not path.is_file():
        raise ConfigError(f"{path}: no such file; `janus-al examples` lists some to start from")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: not UTF-8 text; save it as such") from None
    return _parse_toml(path, text)


def _parse_toml(path: Path, text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        twice = str(error).startswith("Cannot") and "[target]" in text.splitlines()
        mend = "; write [[target]] with two brackets for each of several" if twice else ""
        raise ConfigError(f"{path}: not valid TOML ({one_line(error)}){mend}") from None


def _overlay(under: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    merged = dict(under)
    for key, value in over.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = _overlay(merged[key], value) if both else value
    return merged


def _validate(kind: type[Kind], path: Path, tables: Sequence[dict[str, Any]]) -> Kind:
    empty: dict[str, Any] = {}
    try:
        return kind.model_validate(reduce(_overlay, tables, empty))
    except ValidationError as error:
        first = error.errors()[0]
        # Of a key that takes several kinds of value pydantic names the kind tried, too.
        kinds = {"str", "int", "constrained-int", "float", "bool", "PropertyRow"}
        where = ".".join(str(p) for p in first["loc"] if p not in kinds and not str(p).startswith("tuple["))
        what = rule(first)
        if what == "unknown key":
            what += instead(kind, first["loc"])
        else:
            what += given(first) + misspelt(kind, first["loc"])
        raise ConfigError(": ".join(word for word in (str(path), where, what) if word)) from None


def load_stored(folder: Path, overrides: Sequence[str] = ()) -> CampaignConfig:
    """The configuration of a folder's campaign, with `overrides` laid over it; keys that are no more are let go.

    Raises:
        ConfigError: there is none.
    """
    if not (folder / "campaign.toml").is_file():
        raise ConfigError(f"{folder}: no campaign here; start one with `janus-al campaign run CONFIG --dir {folder}`")
    path = folder / "campaign.toml"
    return _validate(CampaignConfig, path, [_without_retired(_read_toml(path)), *_more(None, overrides)])


def retired(table: Mapping[str, Any]) -> list[str]:
    """Keys of a stored configuration that mean nothing any more."""
    return [f"{name}.{key}" for name, keys in RETIRED.items() for key in keys if key in table.get(name, {})]


def _without_retired(table: Mapping[str, Any]) -> dict[str, Any]:
    dropped = {
        name: {k: v for k, v in table[name].items() if k not in keys} for name, keys in RETIRED.items() if name in table
    }
    return {**table, **dropped}


def check_unchanged(path: Path, config: CampaignConfig, events: Iterable[Mapping[str, Any]]) -> None:
    """Refuse a configuration that differs from the one a campaign began with, according to its journal.

    Raises:
        ConfigError: with the first key that differs, its value and the one it had.
    """
    begun = next((e["config"] for e in events if e["event"] == "begun"), None)
    if begun is None:
        return
    budget = config.budget.model_dump()
    before = _validate(CampaignConfig, path, [_without_retired(begun), {"budget": budget}])
    was, now = _leaves(before.science()), _leaves(config.science())
    for key in [*was, *now]:
        if was.get(key) != now.get(key):
            raise ConfigError(
                f"{path}: {key} is {now.get(key)!r} but this campaign began with {was.get(key)!r}, another "
                "configuration; put it back, or give another --dir (budget and execution may change)"
            )


def _leaves(table: dict[str, Any] | list[Any], prefix: str = "") -> dict[str, Any]:
    """Values of nested tables by dotted key, entries of a list by number."""
    flat: dict[str, Any] = {}
    for key, value in table.items() if isinstance(table, dict) else enumerate(table, start=1):
        nested = isinstance(value, dict | list)
        flat |= _leaves(value, f"{prefix}{key}.") if nested else {f"{prefix}{key}": value}
    return flat


def dump_config(config: CampaignConfig) -> str:
    """The resolved configuration as TOML."""
    import tomli_w

    return tomli_w.dumps(config.model_dump(mode="json", exclude_none=True))
