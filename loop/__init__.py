"""The campaign: joins the network and the physics, keeps the journal, talks to people and to MLflow."""

CREATED_BY = "janus-al 0.1.0"
SEED_MAX = 2**63 - 2
"""it and the next one are stored as 64-bit integers"""
WORKERS_MAX = THREADS_MAX = 1024


class UsageError(ValueError):
    """Arguments that do not fit together."""
