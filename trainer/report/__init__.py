"""Pages, tables and figures about a trained model, from plain values."""
