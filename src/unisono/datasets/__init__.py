"""Data sets: simulated co-assays with known truth, and public ones by name."""

from unisono.datasets.catalogue import names
from unisono.datasets.mudata import simulate, to_mudata
from unisono.datasets.public import available, load
from unisono.datasets.simulator import Recipe, Simulation, simulate_cells

__all__ = ["Recipe", "Simulation", "available", "load", "names", "simulate", "simulate_cells", "to_mudata"]
