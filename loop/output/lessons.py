"""What a campaign's rounds taught, in sentences and as rows of a table."""

from collections.abc import Sequence
from typing import Any


def learning_sentence(errors: Sequence[float | None]) -> str:
    """Whether the first-shot error at the probes fell from the first round to the last."""
    known = [e for e in errors if e is not None]
    if len(known) < 2:
        return "Whether the model learned cannot be said: that takes the probes of at least two rounds."
    first, last = known[0], known[-1]
    figures = f"from {first:.2%} in the first of these {len(known)} rounds to {last:.2%} in the last"
    if last < first:
        return f"The first-shot error at the probes (median, by simulation) fell {figures}."
    return f"The first-shot error at the probes (median, by simulation) did not fall: it went {figures}."


def taught(rounds: Sequence[dict[str, Any]], trained: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """What each round taught, a row each: errors of the model before and after it, and whether the new one stayed.

    Of probes, which are the same questions each round, `probes` has the error in this round and in the next;
    `simulated` is of all proposals, or of all samples where no test set is.
    """
    after = {e["round"]: e.get("guard") for e in trained}
    found = []
    for event, later in zip(rounds, [*rounds[1:], None], strict=False):
        guard = after.get(event["round"]) or {}
        found.append(
            {
                "round": event["round"],
                "simulations": event["simulations"],
                "test": guard.get("test"),
                "simulated": guard.get("proposals") or guard.get("simulated"),
                "verdict": _stays(guard, event["round"] in after),
                "probes": (event["probe_error_median"], later and later["probe_error_median"]),
                "coverage": event.get("coverage"),
            }
        )
    return found


def _stays(guard: dict[str, Any], trained: bool) -> str:
    if not guard:
        return "not compared" if trained else "no training followed"
    if guard["accepted"]:
        return "the new one"
    compared = [name for name in ("test", "proposals", "simulated", "best") if guard.get(name)]
    return "the old one, which errs less" if compared else "the old one, as nothing was new"


def coverage_sentence(rounds: Sequence[dict[str, Any] | None]) -> str:
    """How often simulations came out within what was foretold; empty where nothing was."""
    told = [found for found in rounds if found]
    values, held, shots = (sum(found[key] for found in told) for key in ("values", "held", "shots"))
    if not values:
        return ""
    promised, hits = (sum(found[key] for found in told) for key in ("hits_expected", "hits"))
    return (
        f"Before it was paid for, each proposal had an interval for each property that should hold "
        f"{told[0]['level']:.0%} of what simulations find: it held {held} of {values} ({held / values:.0%}). "
        f"Of {shots} first shots {promised:.1f} were expected to hit; {hits} did."
    )
