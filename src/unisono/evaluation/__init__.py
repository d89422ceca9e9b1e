"""Evaluation: scores, their report, probes and style effects; never trains the model that it evaluates."""
