"""Text on disk becomes prompts, and prompts become token ids."""
