"""The shard: one journal partition folded into answers that can be found again.

Reading order: `fold` (one record), `handlers` (one module an event), `state` (indexes over a store), `search` (cache
lookup), `index.vector_tables` (nearest neighbours), `eviction.quotas` (who may hold how much), `admission` (what is
stored), `columns` (the records of its store).
"""
