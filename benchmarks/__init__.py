"""What Barwright costs, measured against bare libraries: ``python -m benchmarks [NAME ...]``."""
