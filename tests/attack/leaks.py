"""Words where they must not be: in every topic, file, log and metric after the attacks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from infra.demo.leaks import files_with, topics_with
from infra.demo.run import MAY_HOLD_NEVER
from tests.attack.target import Target
from tests.attack.workers import Workers

MAY_HOLD_QUESTIONS = MAY_HOLD_NEVER | {"journal", "documents", "doubts", "observations", "dead-letters"}
"""The topics that hold questions which may be kept; a tenant's own responses are among them."""


def leaks(target: Target, workers: Workers, folders: Iterable[Path]) -> list[str]:
    """Where words of questions stand that must not; `folders` hold the state and the logs of the service."""
    both = (target.never_word, target.tenant_word)
    found = [*_in_topics(target, both), *_in_metrics(workers, both)]
    for path, words in files_with(folders, both).items():
        if target.never_word in words:
            found.append(f"words of a `never` category in file {path.name}")
        if target.tenant_word in words and not _is_of_a_store(path):
            found.append(f"words of a tenant in file {path.name}")
    return found


def _in_topics(target: Target, both: Sequence[str]) -> Iterator[str]:
    for topic, words in topics_with(target.settings, both).items():
        # Names behind `requests.` are those of tenants' own request topics.
        room = topic.partition(".")[0]
        if target.never_word in words and room not in MAY_HOLD_NEVER:
            yield f"words of a `never` category in topic {topic}"
        if target.tenant_word in words and room not in MAY_HOLD_QUESTIONS:
            yield f"words of a tenant in topic {topic}"


def _in_metrics(workers: Workers, both: Sequence[str]) -> Iterator[str]:
    for name, text in workers.metrics().items():
        if any(word in text for word in both):
            yield f"words in the metrics of {name}"


def _is_of_a_store(path: Path) -> bool:
    """Whether it is a file of RocksDB, which keeps questions as `documents` does."""
    return (path.parent / "CURRENT").exists()
