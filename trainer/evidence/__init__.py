"""What a model's walk-forward shows: its record, its statistics, and the verdict on them."""
