"""Effective conductivity of an image with certified bounds and sensitivities, whoever solves."""
