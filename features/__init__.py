"""Turn raw bars into datasets of features with labels."""

# The modules that other rooms and plug-ins may import; the others are private.
__all__ = [
    "atomic",
    "audit",
    "bar_checks",
    "bars",
    "cache",
    "calendar_option",
    "calendars",
    "catalogue",
    "dataset",
    "errors",
    "feature_set",
    "inspection",
    "interval",
    "labels",
    "laws",
    "probe",
    "schedule",
    "series",
    "settings",
    "signature",
    "sources",
]
