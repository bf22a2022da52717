"""Linear algebra of grids, on NumPy's and torch's arrays; it knows no physics."""
