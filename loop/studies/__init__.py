"""Work outside a campaign: one inversion, tuning, the reproductions."""
