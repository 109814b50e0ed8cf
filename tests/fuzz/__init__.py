"""Random requests, changed in one place or spelled otherwise: what must change the namespace, and what must not.

`requests` makes them, `changes` changes one thing, `spelling` writes the same in other words, `identity` says what must
hold of the three; `python -m tests.fuzz` runs as many as wanted, the test of the same name some thousands.
"""
