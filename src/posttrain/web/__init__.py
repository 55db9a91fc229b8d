"""Pages for people: ranking responses, and how well that goes. Imports no torch.

Flow: store (`preferences.store`) -> routes -> templates and JSON -> a browser, whose judgements go back the same way.
"""
