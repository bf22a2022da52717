"""A configuration from the page, checked before anything is paid: refused in the command line's words, or drawn."""

import contextlib
import json
import math
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from janus_al.quantities import quantity
from janus_al.shipped import DATA
from loop import UsageError
from loop.campaign.config import CampaignConfig, ConfigError
from loop.campaign.opening import check_doors
from loop.campaign.sections import TargetSection
from loop.campaign.sources import check_source
from loop.campaign.toml import combined, dump_config, pixel_told
from loop.design.targets import DEFAULT_TOLERANCE, EXTREMES, Target
from loop.design.words import parse_targets
from loop.serve.region import drawn, regions
from loop.serve.trust import TrustError, check_code, check_size, placed

WHERE = Path("configuration")
DOTS, WORDS = 100, 200
"""in a line, and letters in a condition; what is longer would take its reader long"""
DRAWN = 6
"""targets that are drawn"""
REFUSALS = (ValueError, OSError, MemoryError, RecursionError)


@dataclass(frozen=True)
class Rules:
    """What configurations of this page may name: files under `root`, those `shipped` by name, code where `trust`."""

    root: Path
    shipped: Mapping[str, Path] = field(default_factory=dict)
    trust: bool = False


@dataclass(frozen=True)
class Checked:
    """What is to be said of a configuration.

    Attributes:
        config: None where it is refused.
        refusal: why, in one sentence; empty where it is not.
        forbidden: whether the command line would take it, and the page does not.
        warnings: of targets that will hardly be met.
        regions: a drawing (SVG) of each target, by its name.
        toml: what was sent, as a file.
    """

    config: CampaignConfig | None
    refusal: str = ""
    forbidden: bool = False
    warnings: tuple[str, ...] = ()
    regions: Mapping[str, str] = field(default_factory=dict)
    toml: str = ""


def check(given: Mapping[str, Any] | str, rules: Rules, files: bool = True) -> Checked:
    """Check a configuration, given as tables or as TOML; nothing is written, and nothing of the user's imported.

    Args:
        given: a target may have `words`, conditions as `--target` takes them, separated by commas.
        rules: what it may name.
        files: whether the models and datasets that it names are read, too.
    """
    table: dict[str, Any] = {}
    try:
        table = _parsed(given)
        table = _spelled(table, rules)
        checked = _resolved(table, rules)
        config = combined(CampaignConfig, WHERE, [checked])
        if files:
            check_doors(config)
            if config.dataset.generate is None or config.dataset.test is None:  # else the images would be made here
                check_source(config)
    except REFUSALS as error:
        words = _sentence(error).replace(f"{rules.root}/", "").replace(f"{DATA}/", "")
        return Checked(None, words, isinstance(error, TrustError), (), _drawn(table, rules), _toml(table))
    warnings = tuple(reach.warning for reach in config.reach.values() if reach.warning)
    pictures = {r.target: drawn(r) for r in regions(config, config.targets()[:DRAWN])}
    return Checked(config, "", False, warnings, pictures, _toml(table))


def stored(config: CampaignConfig) -> str:
    """As the file that `campaign run` reads."""
    return dump_config(config)


def _parsed(given: Mapping[str, Any] | str) -> dict[str, Any]:
    try:
        (given if isinstance(given, str) else json.dumps(given, ensure_ascii=False)).encode()
    except UnicodeEncodeError:
        raise ConfigError("half a character (a lone surrogate) is in it; take it out") from None
    if not isinstance(given, str):
        return dict(given)
    if any(line.count(".") > DOTS for line in given.splitlines()):
        raise ConfigError(f"a line with more than {DOTS} dots; no key is so deep")
    try:
        return tomllib.loads(given)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"not valid TOML ({' '.join(str(error).split())[:200]})") from None


def _resolved(table: dict[str, Any], rules: Rules) -> dict[str, Any]:
    if not rules.trust:
        check_code(table)
        check_size(table)
    return placed(table, rules.root, rules.shipped, rules.trust)


def _spelled(table: dict[str, Any], rules: Rules) -> dict[str, Any]:
    """Targets in words as tables."""
    given = table.get("target")
    targets = given if isinstance(given, list) else [given]
    if not any(isinstance(target, dict) and "words" in target for target in targets):
        return table
    lengths = any(isinstance(t, dict) and "min_feature" in str(t.get("words")) for t in targets)
    pixel = pixel_told([_resolved(table, rules)]) if lengths else ""
    return {**table, "target": [_target(t, pixel) if isinstance(t, dict) and "words" in t else t for t in targets]}


def _target(table: dict[str, Any], pixel: str) -> dict[str, Any]:
    rest = {key: value for key, value in table.items() if key != "words"}
    conditions = [word for word in re.split(r"[,;\n]", str(table["words"])) if word.strip()]
    if not conditions:
        raise ConfigError("target: it asks for nothing yet; write a condition, such as kxx = 0.3 ± 1 %")
    if longest := [word for word in conditions if len(word) > WORDS]:
        raise ConfigError(f"target {longest[0].strip()[:20]}...: a condition has at most {WORDS} letters")
    target = parse_targets(conditions, DEFAULT_TOLERANCE, pixel=pixel)
    for name, (low, high) in target.intervals.items():
        ends = {"min": low, "max": high}
        kept = {key: end for key, end in ends.items() if math.isfinite(end)}
        rest[name] = {"max": high} if len(kept) == 2 and low == quantity(name).lowest else kept
    for name, way in target.best.items():
        rest[name] = {**rest.get(name, {}), "best": EXTREMES[way]}
    features = [{"value": d, "label": label} for label, d in enumerate(target.geometry.features) if d > 1]
    asked = {key: getattr(target.geometry, key) for key in ("connected", "periodic", "like")}
    return rest | {key: value for key, value in {"min_feature": features, **asked}.items() if value}


def _drawn(table: dict[str, Any], rules: Rules) -> dict[str, str]:
    """What can be drawn of a configuration that is refused, as its targets are out of reach for instance."""
    with contextlib.suppress(*REFUSALS):
        resolved = _resolved({k: table[k] for k in ("microstructure", "physics", "target") if k in table}, rules)
        given = resolved.pop("target", [])
        anything = {"name": "any", "target": {"volume_fraction": {"min": 0.0}}, "dataset": {"generate": {}}}
        config = combined(CampaignConfig, WHERE, [{**resolved, **anything}])
        return {r.target: drawn(r) for r in regions(config, _targets(config, given))}
    return {}


def _targets(config: CampaignConfig, given: Any) -> list[Target]:
    """Those that can be read, each by itself."""
    found = []
    for number, section in enumerate(given[:DRAWN] if isinstance(given, list) else [given], start=1):
        with contextlib.suppress(*REFUSALS, TypeError):
            one = TargetSection.model_validate({"name": f"t{number}", **section})
            found += config.model_copy(update={"target": [one]}).targets()
    return found


def _toml(table: Mapping[str, Any]) -> str:
    import tomli_w

    try:
        if isinstance(targets := table.get("target"), list):  # words that cannot be read are no key of the file
            plain = [{k: v for k, v in t.items() if k != "words"} if isinstance(t, dict) else t for t in targets]
            table = {**table, "target": plain}
        return tomli_w.dumps(table)
    except (TypeError, ValueError, RecursionError):
        return ""


def _sentence(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "configuration: tables within tables without end; no configuration is so deep"
    if isinstance(error, OSError):
        return f"{error.filename}: {(error.strerror or 'cannot be read').lower()}" if error.filename else str(error)
    if not isinstance(error, UsageError | ConfigError) and type(error) is ValueError and not str(error):
        return "configuration: it cannot be read"
    return " ".join(str(error).removeprefix(f"{WHERE}: ").split())
