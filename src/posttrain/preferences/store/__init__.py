"""The preference store: prompts with responses to be ranked, who works at which, and what was judged.

SQLite in one file or PostgreSQL by URL, through SQLAlchemy Core. Judgements are only ever appended.
"""
