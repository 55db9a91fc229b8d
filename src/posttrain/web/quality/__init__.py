"""The pages for those who run the ranking: how good the rankings are, and disagreements to settle."""
