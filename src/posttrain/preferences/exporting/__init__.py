"""What people said, out of a store: all of it, as pairs for TRL, or as grades of single responses.

Flow: store -> `judged_items` (one view of the store) -> the rows of a format -> `table_files`.
`training_rankings` is the same for reward models here: rankings, and what was left out and why.
"""
