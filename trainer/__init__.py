"""Trains, proves and registers trading models, one per symbol and kind of model."""
