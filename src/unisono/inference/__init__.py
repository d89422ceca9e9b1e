"""Fitted parts at work on arrays: the predictor and what is saved with it; reads no file and trains nothing."""
