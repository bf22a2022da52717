"""The arena: strategies on the same tracks, with the same simulator, the same initial data and equal budgets.

    ARENA.toml -> plan: campaigns by (track, strategy, seed) -> runner: their folders -> score -> page

A strategy is a campaign with settings of its own, so that whatever proposes is measured by the same loop.
"""
