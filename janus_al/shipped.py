"""What comes with an installation, found by its bare name from any folder: models, datasets, examples.

In a checkout these are the top folders data/ and examples/; a wheel holds the same inside the package.
"""

from pathlib import Path

_PACKAGE = Path(__file__).parent
_HOME = _PACKAGE if (_PACKAGE / "data").is_dir() else _PACKAGE.parent
DATA, EXAMPLES = _HOME / "data", _HOME / "examples"


def models() -> list[str]:
    """Names of the trained models that are shipped."""
    return sorted(path.parent.name for path in DATA.glob("*/model.json"))


def examples() -> list[str]:
    """Names of the files to start from: campaigns, an arena, scripts."""
    return sorted(path.name for path in (*EXAMPLES.glob("*.toml"), *EXAMPLES.glob("*.py")) if path.stem != "__init__")


def shipped(name: Path | str) -> Path:
    """Where a model, a dataset or an example is: at this path, or else, if only shipped ones have the name, with those.

    A path to which neither applies is returned as it is, for who reads it to refuse.
    """
    path = Path(name)
    offered = {DATA / model for model in models()} | set(DATA.glob("*.h5")) | {EXAMPLES / file for file in examples()}
    found = next((place for place in offered if place.name == str(path)), None)
    return path if found is None or path.exists() else found
