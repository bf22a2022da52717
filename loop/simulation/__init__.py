"""Where images are simulated, and what comes back."""
