"""The durable record of videos, jobs and deliveries: the only truth about what was done.

``open.py`` opens one, ``base.py`` says what it promises; the rest is how a SQL database keeps it.
"""
