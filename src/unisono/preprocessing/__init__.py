"""From raw counts to low-rank codes: fitted on training cells, then frozen; numpy and scipy only."""
