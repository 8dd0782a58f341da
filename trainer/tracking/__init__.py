"""Runs in MLflow: written by one process, searched, counted as trials, and ranked."""
