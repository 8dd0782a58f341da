"""The report on a trained model: its figures, its HTML page, its description in markdown."""

__all__ = ["figures", "html", "markdown", "page"]
