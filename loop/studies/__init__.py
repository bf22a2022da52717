"""Work outside a campaign: one inversion, tuning, the arena, the reproductions."""
