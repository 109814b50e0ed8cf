"""The wire contract: every message that crosses a topic, one module a topic family.

Reading order: `base` (what all messages share), `requests`, `responses`, `journal`, `forwards`,
`decisions`, `documents`, `policy`, `control`, `load`, and `topics`, the one table of topics.
"""
