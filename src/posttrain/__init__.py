"""Take a language model from pre-training to human feedback and reinforcement learning."""

__version__ = "0.1.0"
