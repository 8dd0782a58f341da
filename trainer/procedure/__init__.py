"""From labelled rows to a fitted model, a calibrator and a threshold, without looking ahead."""

#: The modules that other rooms may import.
__all__ = [
    "calibration",
    "fit_cache",
    "fit_files",
    "fit_key",
    "known_results",
    "procedure",
    "sample",
    "splits",
    "stored_fit",
    "threshold_search",
]
