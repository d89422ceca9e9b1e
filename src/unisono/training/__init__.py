"""From training cells to a fitted model: split, mini-batches, loop, validation, selection, fit."""
