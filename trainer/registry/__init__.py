"""Versions in the MLflow Model Registry: verified, registered, promoted, rolled back."""
