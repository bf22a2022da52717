"""How much memory this machine has."""

import math
import os


def bytes_present() -> float:
    """Physical memory of this machine, or infinity where it cannot be told."""
    try:
        return float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    except (AttributeError, ValueError, OSError):
        return math.inf
