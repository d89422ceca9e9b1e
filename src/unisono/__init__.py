"""Unisono: predict one omics of a cell from another, and match cells across omics."""
