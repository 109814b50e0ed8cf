"""upstream: the connector that asks the models what the cache cannot answer."""
