"""Hugging Face causal language models come in and go out."""
