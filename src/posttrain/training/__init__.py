"""One optimiser step, the same for every recipe, and the checkpoints that make it resumable."""
