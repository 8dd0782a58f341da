"""Store runs in MLflow, read them, count them as trials and rank them."""

# The modules that other rooms may import.
__all__ = [
    "candidates",
    "mlflow_runs",
    "model_uri",
    "old_runs",
    "outage",
    "ranking",
    "search_runs",
    "store",
    "tag_names",
    "trials",
]
