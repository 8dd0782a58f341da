"""Measure a procedure by its walk-forward, gather the evidence on it, and judge that evidence."""

# The modules that other rooms may import; the others are private.
__all__ = [
    "dossier",
    "evidence",
    "headline",
    "importance",
    "metric_names",
    "null_runs",
    "record",
    "verdict",
    "walk_forward",
]
