"""Each paper's algorithm as one visible loop."""
