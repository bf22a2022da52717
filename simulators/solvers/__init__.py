"""Who solves conduction: FiPy, the reference, and two faster ones that agree with it."""
