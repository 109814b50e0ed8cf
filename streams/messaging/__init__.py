"""Messages that several processors and the shard read or write alike: ids, routes, responses, dead letters."""
