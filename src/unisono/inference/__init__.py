"""The fitted parts at work on arrays: one predictor, one similarity; reads no file and trains nothing."""
