"""Fixed prompts become metrics, and tables of samples."""
