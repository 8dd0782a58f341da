"""Run a training command: the fits of all jobs on workers, then their evidence."""

# The modules that other rooms may import; the others are private.
__all__ = ["retrain", "run_job", "search", "train", "worker_pool"]
