"""Uncertainty: how far a prediction may be off, learnt from errors on cells that the model has not seen."""
