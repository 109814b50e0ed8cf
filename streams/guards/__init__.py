"""Guards: cheap, pure detectors of what cosine similarity cannot see between two similar questions.

`read` parses a text once, `weigh` compares two readings: each guard names the words that differ, and the overlap of the
texts says what that weighs. All are functions of their arguments alone, so that a replay finds the same evidence.
"""

from __future__ import annotations

from pathlib import Path

from refrain.streams.guards.evidence import Evidence, GuardTerms, weigh
from refrain.streams.guards.frame import Overlap
from refrain.streams.guards.lexicon import digest
from refrain.streams.guards.reading import Reading, read
from refrain.streams.guards.verdict import Verdict
from refrain.streams.guards.weights import MICROS

__all__ = ["DIGEST", "MICROS", "Evidence", "GuardTerms", "Overlap", "Reading", "Verdict", "read", "weigh"]

DIGEST = digest(Path(__file__).parent)
"""8 hex digits over the code of the guards and their word lists: part of the behaviour that a decision names."""
