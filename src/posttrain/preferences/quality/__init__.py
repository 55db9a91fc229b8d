"""How good people's rankings are, and who ranks what next. Imports no torch.

Statistics over plain sequences: ordinal alpha, agreement, position bias, gold accuracy, disagreements, strengths
of checkpoints; `report.py` computes all of them for a store, `queues.py` puts the items first that are worth most.
Only judgements made without knowing those of others enter what is said of agreement.
"""
