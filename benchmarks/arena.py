"""Janus and its baselines at equal budgets (examples/arena.toml), and the page of it.

    python benchmarks/arena.py [--seeds 10] [--set KEY=VALUE] [--dir campaigns/arena] [--only T3 T4] [--seed 2]
        [--table] [--smoke]

Goes on with what is in --dir; measure another state of the program in another one. Writes PAGE.md, PAGE.json and
PAGE.png of all that is finished whenever a track of a seed is. `--only T3 T4` runs these tracks alone, `--seed 2` this
seed; `--table` makes the page of DIR/scores, where files of several machines may be put together. Needs
janus-al[botorch]. A track takes six minutes of a core for each seed (measured on T4, of which the first network one and
a half), so that all seven and ten seeds take seven to eight hours. `--smoke` takes a minute, in a temporary folder.
"""

import argparse
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from common.header import ROOT, header

SMOKE = ["seeds=1", "campaign.training.steps=20", "campaign.loop.retrain_steps=5", "campaign.budget.simulations=6"]
SMOKE += ["campaign.microstructure.size=16", "data.count=64", "data.simulated=16"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--arena", type=Path, default=ROOT / "examples" / "arena.toml")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--dir", type=Path, default=ROOT / "campaigns" / "arena")
    parser.add_argument("--page", type=Path, default=ROOT / "docs" / "results" / "arena")
    parser.add_argument("--set", action="append", default=[], help="lay section.key=value over the arena's file")
    parser.add_argument("--only", nargs="*", help="names of tracks")
    parser.add_argument("--seed", type=int, action="append", default=[], help="of those, to run alone")
    parser.add_argument("--table", action="store_true", help="make the page of what there is, run nothing")
    parser.add_argument("--smoke", action="store_true", help="one track, one seed, a network that has learned nothing")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if arguments.smoke:
            vars(arguments).update(dir=Path(folder) / "arena", page=Path(folder) / "page", only=["T6"])
        measure(arguments)


def measure(arguments):
    import torch

    from loop.simulation.progress import Progress
    from loop.studies.arena.page import summary, verdicts, write_page
    from loop.studies.arena.plan import load_arena
    from loop.studies.arena.runner import run_arena, scores
    from loop.studies.means import Means

    torch.set_num_threads(1)
    made = header("torch", "botorch", "fipy")
    arena = load_arena(
        arguments.arena, [f"seeds={arguments.seeds}", *arguments.set, *(SMOKE if arguments.smoke else [])]
    )
    if arguments.only:
        arena = arena.model_copy(update={"track": [t for t in arena.track if t.name in arguments.only]})
    if arguments.table:
        write_page(summary(arena, scores(arena, arguments.dir)), arguments.page, made)
        return
    with Progress() as progress:
        told = run_arena(
            arena,
            arguments.dir,
            Means("cpu", 1, progress),
            lambda parts: write_page(summary(arena, parts), arguments.page, made),
            arguments.seed,
        )
    print("\n".join(verdicts(summary(arena, told))))


if __name__ == "__main__":
    main()
