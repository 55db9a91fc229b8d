"""Settings: their meaning, their defaults, and where they are read from."""
