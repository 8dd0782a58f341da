"""Arithmetic of returns, positions and probabilities: pure functions on arrays."""
