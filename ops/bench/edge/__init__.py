"""`refrain bench edge`: the endpoint beside the path through Kafka, another gateway, and the model itself."""
