"""Benchmarks of Barwright against bare libraries: ``python -m benchmarks [NAME ...]``."""
