"""Run a training command: one job for each symbol and model, on worker processes."""

# The modules that other rooms may import; the others are private.
__all__ = ["local_cluster", "run_job", "search", "train"]
