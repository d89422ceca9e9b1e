"""What a fitted model is worth on test cells: its answers, scores, evidence, and what its spaces tell."""
