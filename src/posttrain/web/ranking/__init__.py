"""The page on which people rank: an item out of the store, safe HTML of its texts, a judgement back into the store.

Flow: store -> `routes` (JSON) -> `static/ranking/*.js` -> a judgement -> store. Texts are hostile until `rendering`
has made them harmless.
"""
