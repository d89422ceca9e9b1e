"""Evaluation: scores, their report, splits, probes and style effects; never trains the model that it evaluates."""
