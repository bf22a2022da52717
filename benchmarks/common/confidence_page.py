"""The page of `benchmarks/confidence.py`, from its JSON."""

import itertools

import numpy as np

TEXT = """# Knowing before paying

    OMP_NUM_THREADS=1 python benchmarks/confidence.py

makes such a page, and confidence.json. The figures of 2026-11-25 are of fewer campaigns, proposals and images than the
command now asks for, as each section says, and were made part by part, at commit e7add82.
"""
COVERAGE = """## Coverage over rounds

Campaigns: {seeds}; 32 x 32 pixels; a target for one conductivity and two for both (+- 2 %), six
candidates each and six probes a round, none refined; the model learns 30 steps after every round, if that makes it no
worse. Intervals are made before their round is paid for, from the rounds before, so that the first round has none. The
aim was 85 to 95 %.

{table}

## P(hit) against what came

Of the same first shots.

{reliability}"""
OPINIONS = """## What ranks errors

{proposals} proposals of each kind, all simulated. Errors are of log k, median / root mean square; the columns after
them are Spearman's correlation of what costs no simulation with the error of the mean of 8 copies.

{table}

The 8 copies are the image mirrored and turned, the answers turned back; their mean is what the program predicts. The
room is the distance from the prediction to the nearer of the limits that physics gives at the volume fraction
(Wiener's): it ranks errors best, needs no network, and is what residuals are measured in."""
ACQUISITIONS = """## Acquisitions side by side

First shots that hit, of those taken, from the same pools (24 rows a target, six taken), of which every row was
simulated; `random` is the mean of ten draws. *Expected* is the sum of P(hit) over the pools.

{table}

P(hit) of every row of these pools, from 48 past proposals:

{reliability}"""
CERTIFICATES = """## What a certificate costs

Decoded images of the shipped models; kxx and kyy both within 1 % of values that theirs miss by up to 0.75 %; refined
until the interval decides. The program refines with the fastest solver, once it agrees with FiPy to 1e-8.

{table}"""


def page(found):
    """All parts that there are."""
    parts = [TEXT]
    for write in (coverage, opinions, acquisitions, certificates):
        if write.__name__ in found:
            part_ = found[write.__name__]
            parts.append(f"{write(part_['rows'])}\n\n{part_['made']}.\n")
    return "\n".join(parts)


def table(columns, rows):
    """Markdown."""
    lines = ["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
    return "\n".join([*lines, *("| " + " | ".join(map(str, row)) + " |" for row in rows)])


def part(pairs):
    """Held of how many."""
    held, of = (sum(column) for column in zip(*pairs, strict=True)) if pairs else (0, 0)
    return f"{held} of {of} ({held / of:.1%})" if of else "none yet"


def reliability(rows):
    """Predicted against observed, in bins of P(hit)."""
    chances = np.array([p for r in rows for p in r["chances"]])
    hits = np.array([h for r in rows for h in r["hit"]], dtype=bool)
    found = []
    for low, high in itertools.pairwise([0, 0.02, 0.05, 0.1, 0.2, 0.4, 1.01]):
        own = (chances >= low) & (chances < high)
        if own.any():
            means = [f"{values[own].mean():.3f}" for values in (chances, hits)]
            found.append([f"{low:g} to {min(high, 1):g}", own.sum(), *means])
    if len(chances):
        found.append(["all", len(chances), f"{chances.mean():.3f}", f"{hits.mean():.3f}"])
    return table(["P(hit)", "shots", "mean P(hit)", "hit"], found)


def coverage(rows):
    """By contrast and round."""
    lines = []
    for contrast in sorted({r["contrast"] for r in rows}):
        own = [r for r in rows if r["contrast"] == contrast]
        for number in [*sorted({r["round"] for r in own}), None]:
            these = [r for r in own if number in (None, r["round"])]
            width = [r["half_width"] for r in these if r["half_width"] is not None]
            told = [r["coverage"] for r in these if r["coverage"]]
            held = [
                part([(c["held"], c["values"]) for c in told]),
                *(part([r[k] for r in these]) for k in ("one", "pair")),
            ]
            shots = [r["first_shot"] for r in these if r["first_shot"] is not None]
            error = f"{np.median(shots):.1%}" if shots else ""
            name = "all" if number is None else number
            lines.append([contrast, name, *held, f"{np.median(width):.1%}" if width else "", error])
    columns = ["contrast", "round", "held by 90 % intervals", "one property, probes", "joint", "half width", "error"]
    runs = sorted({(r["contrast"], r["seed"]) for r in rows})
    seeds = ", ".join(f"{sum(c == k for k, _ in runs)} at contrast {c}" for c in sorted({k for k, _ in runs}))
    return COVERAGE.format(seeds=seeds, table=table(columns, lines), reliability=reliability(rows))


def opinions(rows):
    """By contrast and kind of target."""
    names, errors = list(rows[0]["spearman"]), ("error_one", "error_mean", "error_two_networks")
    lines = []
    for r in rows:
        words = [" / ".join(f"{v:.2%}" for v in r[k]) for k in errors]
        lines.append([r["contrast"], r["targets"], *words, *(f"{r['spearman'][n]:.2f}" for n in names)])
    columns = ["contrast", "targets", "error of one copy", "of the mean of 8", "of 8, two networks", *names]
    return OPINIONS.format(proposals=rows[0]["proposals"], table=table(columns, lines))


def acquisitions(rows):
    """By contrast, kind of target and tolerance."""
    names, lines = ("nearest", "designs", "diverse", "random"), []
    groups = sorted({(r["contrast"], r["targets"], r["tolerance"]) for r in rows})
    for key in [*groups, None]:
        own = [r for r in rows if key in (None, (r["contrast"], r["targets"], r["tolerance"]))]
        hits = [f"{sum(r[n][0] for r in own):.4g} of {sum(r[n][1] for r in own):.4g}" for n in names]
        pools = f"{sum(r['hits_in_pool'] for r in own)} of {sum(r['pool'] for r in own)}"
        which = ["all", "", ""] if key is None else [key[0], key[1], f"{key[2]:.0%}"]
        lines.append([*which, *hits, pools, f"{sum(r['expected_in_pool'] for r in own):.1f}"])
    columns = ["contrast", "targets", "tolerance", *names, "hits in the pools", "expected"]
    return ACQUISITIONS.format(table=table(columns, lines), reliability=reliability(rows))


def certificates(rows):
    """By size, contrast and solver."""
    lines = []
    for r in rows:
        counts = {v: r["verdicts"].count(v) for v in ("confirmed", "refuted", "undecided")}
        words = ", ".join(f"{n} {v}" for v, n in counts.items() if n)
        seconds = [f"{f(r['seconds']):.2f}" for f in (np.median, max)]
        lines.append([r["size"], r["contrast"], r["solver"], words, max(r["refinements"]), *seconds])
    columns = ["side", "contrast", "solver", "verdicts", "pixels cut into, at most", "CPU seconds, median", "at most"]
    return CERTIFICATES.format(table=table(columns, lines))
