"""The seeded fault run: traffic, workers that are killed and paused, and the promises that must hold afterwards.

Reading order: `traffic` (what is asked), `faults` (what goes wrong when), `cluster` (the processes), `recovery`
(how long it takes), `scenario` (one run) on a `bench`, `expiry` (stores and deletions that are gone), `promises` with
`records` and `checks` (what must hold), `replay` (folding the journal again), `__main__` (the command).
"""
