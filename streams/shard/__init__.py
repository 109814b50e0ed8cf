"""The shard: one journal partition folded into answers that can be found again.

Reading order: `fold` (what a record does), `state` (what a shard knows), `tables` (finding by meaning),
`quotas` (who may hold how much), `admission` (what is kept), `columns` (the records of its store).
"""
