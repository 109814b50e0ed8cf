"""A worker's /metrics has what its processor counts, and nothing of the others."""

from __future__ import annotations

from pathlib import Path

import pytest

from refrain.ops.run.processors import NAMES
from tests.streams.worker_metrics import registered

SHARED = {
    "refrain_records_taken", "refrain_records_sent", "refrain_refused", "refrain_dropped", "refrain_lag",
    "refrain_batch_seconds", "refrain_records_unfit", "refrain_worker_restarts",
    "refrain_build_info", "refrain_spans_lost",
}  # fmt: skip
OWN = {
    "classify": {
        "refrain_policy_version", "refrain_texts_embedded", "refrain_question_wait_seconds",
        "refrain_questions_overload", "refrain_texts_together", "refrain_text_seconds", "refrain_embedding_seconds",
        "refrain_embedding_threads",
    },
    "lookup": {
        "refrain_policy_version", "refrain_decisions", "refrain_entries_admitted", "refrain_entries_not_admitted",
        "refrain_entries_evicted", "refrain_hits_load_only", "refrain_stale_served", "refrain_saved_tokens",
        "refrain_saved_seconds", "refrain_threshold", "refrain_ttl_seconds", "refrain_room_entries",
        "refrain_room_cap", "refrain_switched_off", "refrain_withdrawing", "refrain_entries", "refrain_waiting",
        "refrain_behind_seconds", "refrain_commit_seconds", "refrain_restore_seconds", "refrain_shard_stopped",
        "refrain_request_seconds", "refrain_guard_refusals", "refrain_similarity",
        "refrain_snapshot_every_seconds", "refrain_snapshot_timestamp_seconds", "refrain_snapshot_bytes",
    },
    "populate": {"refrain_policy_version", "refrain_request_seconds"},
    "upstream": {
        "refrain_model_failures", "refrain_model_calls", "refrain_model_call_seconds", "refrain_model_calls_open",
    },
    "govern": {"refrain_policy_version"},
    "adapt": {"refrain_model_load"},
    "compare": {
        "refrain_comparisons", "refrain_texts_embedded", "refrain_embedding_seconds", "refrain_embedding_threads",
    },
    "verify": {"refrain_doubts", "refrain_verify_seconds"},
    "edge": {
        "refrain_edge_requests", "refrain_edge_outcomes", "refrain_edge_direct", "refrain_edge_seconds",
        "refrain_edge_open", "refrain_edge_full", "refrain_edge_gone", "refrain_edge_port",
    },
}  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_a_worker_has_the_metrics_of_its_processor_alone(name: str, tmp_path: Path) -> None:
    assert {family for family, _ in registered(name, tmp_path)} == SHARED | OWN[name]
