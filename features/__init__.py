"""From raw bars to datasets: bars, features, labels, cache. Knows no model and no registry."""
