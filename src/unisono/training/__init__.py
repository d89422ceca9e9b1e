"""From training cells to fitted networks: the feed of mini-batches, the loop, and the held-out cells that judge it."""
