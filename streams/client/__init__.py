"""Client library: asks Refrain through Kafka and waits for the answer, from a thread (`Client`) or asyncio.

    from refrain.streams.client import Client

    with Client("localhost:9092") as client:
        reply = client.ask({"model": "gpt", "messages": [{"role": "user", "content": "How do I reverse a list?"}]})
        print(reply.text, reply.outcome)

It needs confluent-kafka and pydantic, and loads no model, store or index.
"""

from refrain.streams.client.asyncio_client import AsyncClient, Pending
from refrain.streams.client.reply import Failure, NotAnswered, Reply
from refrain.streams.client.threaded_client import Client

__all__ = ["AsyncClient", "Client", "Failure", "NotAnswered", "Pending", "Reply"]
