"""Where a run's processes are and how they add up."""
