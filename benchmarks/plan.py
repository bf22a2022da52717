"""How far plans of campaigns were off: planned seconds beside those that the campaigns took.

    python benchmarks/plan.py [--out docs/results/plan.json] [--only NAME] [--busy] [--smoke]

Plans the quickstart, `from-scratch` with a fifth of its training steps and a campaign on 64 x 64 pixels, and runs each,
in a process and a temporary folder of its own. Prints a Markdown table: each stage at the counts that came, the whole
beside the planned range, and the memory. What stands in --out is not run again. `--busy` counts processor seconds of a
campaign and its processes, one of which simulates, instead of wall seconds: nearly those of an idle machine, on one
that others use. `--smoke` takes the campaign of seconds that the tests use.
"""

import argparse
import contextlib
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LARGE = """
name = "64 x 64"
[microstructure]
size = 64
phase_conductivity = [0.1, 1.0]
[dataset.generate]
count = 400
simulated = 64
[[target]]
designs = 4
kxx = { value = 0.30, tolerance = 0.01 }
[[target]]
designs = 4
kxx = { value = 0.40, tolerance = 0.01 }
kyy = { max = 0.35 }
[budget]
rounds = 3
simulations = 300
[loop]
candidates = 4
[network]
stem = 4
[training]
steps = 400
"""
SHORT = ["training.steps=300", "loop.retrain_steps=100"]
"""of from-scratch, which takes 1500 and 400 otherwise: what a step takes is the same"""
FILES = {
    "quickstart": "examples/quickstart.toml",
    "from-scratch": "examples/from-scratch.toml",
    "smoke": "tests/small.toml",
}


class Processor:
    """Processor seconds of this process and all below it, those that have ended included."""

    def __init__(self):
        import psutil

        self.own, self.looked, self.below = psutil.Process(), -1.0, []

    def __call__(self):
        """All of them, so far."""
        import psutil

        if time.monotonic() - self.looked > 0.5:
            self.looked, self.below = time.monotonic(), self.own.children(recursive=True)
        total = 0.0
        for process in (self.own, *self.below):
            with contextlib.suppress(psutil.Error):
                total += sum(process.cpu_times()[:4])
        return total


def one(name, folder, busy):
    """Plan a campaign and run it; both as JSON."""
    if busy:
        time.perf_counter = Processor()
    from janus_al.device import prepare
    from loop.campaign.plan import plan
    from loop.campaign.toml import load_config, parse_config
    from loop.commands.run import run_campaign
    from loop.simulation.progress import Progress

    os.chdir(ROOT)
    alone = ["execution.workers=1"] if busy else []
    more = [*alone, *(SHORT if name == "from-scratch" else [])]
    config = parse_config(LARGE, more) if name == "64 x 64" else load_config(ROOT / FILES[name], None, more)
    began = time.perf_counter()
    planned = plan(config, prepare(config.execution.device, config.execution.threads))
    measuring, began = time.perf_counter() - began, time.perf_counter()
    campaign = run_campaign(folder, config, Progress())
    total = time.perf_counter() - began
    journal, rounds = campaign.journal, campaign.journal.of("round")
    trained = [e for e in journal.of("trained") if e["seconds"]]
    steps = [planned.training_steps if e["round"] == 0 else planned.retraining_steps for e in trained]
    shards = [e for e in journal.of("shard") if e["simulations"]]
    designs = sum(len(e["designs"]) for e in rounds)
    each = planned.simulation_seconds / planned.workers
    first = rounds[0]["seconds"]
    stages = {
        "training": (sum(steps) * (planned.step_seconds or 0.0), sum(e["seconds"] for e in trained), sum(steps)),
        "proposals of round 1": (planned.proposal_seconds, first["inversion"], 1),
        "simulations": (sum(e["simulations"] for e in shards) * each, sum(e["seconds"] for e in shards), len(shards)),
        "verification": (
            designs * planned.verification_seconds,
            sum(e["seconds"]["verification"] for e in rounds),
            designs,
        ),
    }
    stages["simulations"] = (*stages["simulations"][:2], sum(e["simulations"] for e in shards))
    return {
        "name": config.name,
        "measuring": measuring,
        "plan": planned.as_json(),
        "total": total,
        "rounds": len(rounds),
        "stages": {key: dict(zip(("planned", "took", "count"), row, strict=True)) for key, row in stages.items()},
        "memory": 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss,
        "load": os.getloadavg()[0],
    }


def table(found):
    print("| campaign | stage | count | planned, s | took, s | took / planned |\n|---|---|---|---|---|---|")
    for row in found:
        for stage, part in row["stages"].items():
            if part["count"] and part["planned"]:
                ratio = part["took"] / part["planned"]
                print(
                    f"| {row['name']} | {stage} | {part['count']} | {part['planned']:.1f} | {part['took']:.1f} "
                    f"| {ratio:.2f} |"
                )
        low, high = row["plan"]["total_seconds"]
        print(f"| {row['name']} | all | {row['rounds']} rounds | {low:.0f} to {high:.0f} | {row['total']:.0f} | |")
        gib = 2.0**30
        planned, took = row["plan"]["memory"] / gib, row["memory"] / gib
        print(f"| {row['name']} | memory, GiB | | {planned:.2f} | {took:.2f} | {took / planned:.2f} |")
        print(f"| {row['name']} | measuring | | | {row['measuring']:.1f} | |")
    for row in found:
        print(f"\n{row['name']}: {row['made']}, load average {row['load']:.1f} at the end")


def main():
    sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]
    from common.header import header

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="JSON file")
    parser.add_argument("--only", help="one of quickstart, from-scratch, 64 x 64")
    parser.add_argument("--busy", action="store_true", help="processor seconds instead of wall seconds")
    parser.add_argument("--smoke", action="store_true", help="seconds instead of minutes")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        with tempfile.TemporaryDirectory() as folder:
            result = one(arguments.one, Path(folder) / "campaign", arguments.busy)
        print(json.dumps(result))
        return
    names = ["smoke"] if arguments.smoke else ["quickstart", "from-scratch", "64 x 64"]
    found = json.loads(arguments.out.read_text()) if arguments.out and arguments.out.exists() else []
    for name in [n for n in names if arguments.only in (None, n) and n not in {row["key"] for row in found}]:
        command = [sys.executable, __file__, "--one", name]
        environment = dict(os.environ)
        with tempfile.TemporaryDirectory() as site:
            if arguments.busy:
                command.append("--busy")
                (Path(site) / "sitecustomize.py").write_text("import time\ntime.perf_counter = time.process_time\n")
                environment["PYTHONPATH"] = os.pathsep.join([site, environment.get("PYTHONPATH", "")])
            done = subprocess.run(command, stdout=subprocess.PIPE, check=True, env=environment)
        found.append({"key": name, "made": header("torch", "fipy"), **json.loads(done.stdout.splitlines()[-1])})
        if arguments.out:
            arguments.out.write_text(json.dumps(found, indent=1) + "\n")
    table(found)


if __name__ == "__main__":
    main()
