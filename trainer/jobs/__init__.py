"""A training run: one job for each symbol and model, on worker processes."""
