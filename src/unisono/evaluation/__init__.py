"""Evaluation: figures of merit, splits, baselines and benchmarks; never trains the model it judges."""
