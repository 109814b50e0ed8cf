"""The commands of `refrain`: the module of each, and the line by which the help names it. None is loaded for that."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

USE = "Ask and look"
RUN = "Run and repair"
STEER = "Steer"
AUDIT = "Explain, audit, replay"
TUNE = "Tune and measure"


class Listed(NamedTuple):
    """Where a command stands, and how the help tells of it."""

    module: str
    """Below `refrain.ops`: its `register` adds the command."""
    panel: str
    """The heading of the help that it stands under."""
    summary: str
    """The first paragraph of its own help."""


COMMANDS: Mapping[str, Listed] = {
    "ask": Listed(
        "ask.command",
        USE,
        "Ask, wait, and print the answer with how it came about. Exit code 1 when one is missing or an error.",
    ),
    "watch": Listed(
        "observe.watch",
        USE,
        "Follow responses, decisions or comparisons until Ctrl-C. Only responses carry text.",
    ),
    "stats": Listed(
        "observe.stats",
        USE,
        "Show what came of each category's requests, what it holds, and what it acts by now.",
    ),
    "schemas": Listed(
        "contract.command",
        USE,
        "List, show and export the schemas of messages and of files, and AsyncAPI of the topics.",
    ),
    "run": Listed("run.command", RUN, "Run processors until SIGTERM or Ctrl-C; then they drain, commit and leave."),
    "topics": Listed("topics.command", RUN, "Create, list and check the topics; print their ACLs."),
    "edge": Listed("edge.command", RUN, "The OpenAI-compatible endpoint: `refrain run edge` runs it."),
    "doctor": Listed(
        "observe.doctor",
        RUN,
        "Check broker, topics, models, disk, files, lag, policy, keys, workers; say what to do. Exit code 1 if one"
        " fails.",
    ),
    "shards": Listed("shards.command", RUN, "List the shards, and let one that is stopped go on."),
    "dead-letters": Listed("letters.command", RUN, "List, show, send again and drop what could not be taken."),
    "snapshot": Listed(
        "snapshots.command",
        RUN,
        "Make a snapshot of each shard, verify it, and delete those that are not to be kept any longer.",
    ),
    "snapshots": Listed("snapshots.command", RUN, "List and verify snapshots of shards."),
    "policies": Listed(
        "policies.command", STEER, "Write a policy to start from, put one in force, compare, and go back."
    ),
    "invalidate": Listed(
        "control.invalidate",
        STEER,
        "Withdraw the entries that match all that is named; tells how many and asks first.",
    ),
    "judge": Listed(
        "control.judge",
        STEER,
        "Judge the answer that a request got. A wrong one is withdrawn everywhere and not kept again.",
    ),
    "off": Listed(
        "control.switch",
        STEER,
        "Switch the cache off at once: everything is forwarded, nothing is kept. Prints the command's version.",
    ),
    "on": Listed("control.switch", STEER, "Switch the cache on again. Prints the command's version."),
    "explain": Listed(
        "explain.command",
        AUDIT,
        "Explain a decision: the question, what was near it, the terms in force, and what decided. Or an entry's life.",
    ),
    "served": Listed(
        "explain.served_command",
        AUDIT,
        "Show every request that was answered from what is named, by the cache or by the model. No text is shown.",
    ),
    "history": Listed(
        "explain.history_command",
        AUDIT,
        "Show every command: policies, withdrawals, judgements, switches, loads; who, when, why, what, refused or not.",
    ),
    "audit": Listed(
        "audit.command",
        AUDIT,
        "Fold the journal again and compare what comes of it with what was published. Nothing live is touched.",
    ),
    "state": Listed(
        "replay.state_command",
        AUDIT,
        "Show what a shard knew at a point: entries, policy, loads, who waited, counters; and the state's digest.",
    ),
    "replay": Listed(
        "replay.command",
        AUDIT,
        "Fold the recorded journal again into topics of another prefix. Nothing live is touched.",
    ),
    "whatif": Listed(
        "whatif.command",
        AUDIT,
        "Fold the recorded journal under other policies, and show it beside what was. Nothing live is touched.",
    ),
    "export": Listed("transfer.export_command", AUDIT, "Export ranges of the journal, or kept entries, as JSON lines."),
    "import": Listed(
        "transfer.import_command",
        AUDIT,
        "Keep the entries of an export, as answers of this cache. The whole file is checked before anything is"
        " written.",
    ),
    "evaluate": Listed(
        "quality.evaluate", TUNE, "How right hits are: labelled pairs, or questions with their answers."
    ),
    "calibrate": Listed(
        "quality.calibrate",
        TUNE,
        "The lowest threshold of each category whose false hits surely stay within its error budget.",
    ),
    "categories": Listed("categories.command", TUNE, "Train the classifier of categories on examples, and test it."),
    "hits": Listed("hits.command", TUNE, "Learn from your own traffic which hits are right."),
    "bench": Listed(
        "bench.command", TUNE, "Measure the path through Kafka, or a shard and what it evicts without a broker."
    ),
}
"""By name, in the order of the help."""
