"""Formats: one file for each layout in which counts come, from a path to an AnnData; decides no modality."""
