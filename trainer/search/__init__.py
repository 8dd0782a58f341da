"""Search of settings on the first part of the bars, which no headline touches."""

__all__ = ["space", "study", "trial"]
