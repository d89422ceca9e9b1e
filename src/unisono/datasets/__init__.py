"""Data sets made here: simulated co-assays with known truth; downloads nothing."""

from unisono.datasets.mudata import simulate, to_mudata
from unisono.datasets.simulator import Recipe, Simulation, simulate_cells

__all__ = ["Recipe", "Simulation", "simulate", "simulate_cells", "to_mudata"]
