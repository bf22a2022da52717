"""Where a campaign's time goes: training, inversion, simulation, tracking, the rest.

    python benchmarks/campaign.py [CONFIG.toml] [--smoke]

Runs the campaign in a temporary folder and prints a Markdown table of wall seconds, and the processor time. `--smoke`
runs the campaign of seconds that the tests use.
"""

import argparse
import datetime
import platform
import resource
import subprocess
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", nargs="?", type=Path, default=ROOT / "examples" / "quickstart.toml")
    parser.add_argument("--smoke", action="store_true", help="seconds instead of minutes")
    arguments = parser.parse_args()

    from loop.campaign.toml import load_config
    from loop.commands.run import run_campaign
    from loop.simulation.progress import Progress

    config = load_config(ROOT / "tests" / "small.toml" if arguments.smoke else arguments.config)
    with tempfile.TemporaryDirectory() as parent:
        began = time.perf_counter()
        campaign = run_campaign(Path(parent) / "campaign", config, Progress())
        total = time.perf_counter() - began
    seconds = {"training": sum(e["seconds"] for e in campaign.journal.of("trained"))}
    for event in campaign.journal.of("round"):
        for stage in ("inversion", "simulation"):
            seconds[stage] = seconds.get(stage, 0.0) + event["seconds"].get(stage, 0.0)
    seconds["simulation"] += sum(e["seconds"] for e in campaign.journal.of("shard") if e["round"] == 0)
    for event in campaign.journal.of("projected"):
        for stage, value in event["seconds"].items():
            seconds[stage] = seconds.get(stage, 0.0) + value
    seconds["rest"] = total - sum(seconds.values())
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True).stdout
    print(f"\n{config.name}: {campaign.ledger.spent} simulations paid, seed {config.seed}")
    print(f"{datetime.date.today()}, commit {commit.strip()}")
    versions = ", ".join(f"{name} {version(name)}" for name in ("torch", "fipy", "mlflow"))
    print(f"{platform.processor() or platform.machine()}, Python {platform.python_version()}, {versions}\n")
    print("| stage | s | part |\n|---|---|---|")
    for stage, value in sorted(seconds.items(), key=lambda item: -item[1]):
        print(f"| {stage} | {value:.1f} | {value / total:.1%} |")
    print(f"| all | {total:.1f} | 100 % |")
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    print(
        f"\nprocessor time, that of simulation processes excluded: {sum(u.ru_utime + u.ru_stime for u in used):.0f} s"
    )


if __name__ == "__main__":
    main()
