"""An outsider's audit of hits, by the JSON schemas and the arithmetic of schemas/README.md; nothing else of Refrain's.

python tests/outsider/audit.py JOURNAL DECISIONS    # each as `kcat -e -J` writes it; exit code 1 when anything is wrong
"""

import base64
import hashlib
import json
import math
import struct
import sys
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator

SCHEMAS = Path(__file__).resolve().parents[2] / "schemas" / "json"
VALID = {
    name: Draft202012Validator(json.loads((SCHEMAS / f"{name}.schema.json").read_text()))
    for name in ("journal", "decision")
}


def cosine(left: str, right: str) -> float:
    a, b = (struct.unpack(f"<{len(each) // 2}h", each) for each in map(base64.b64decode, (left, right)))
    norms = sum(x * x for x in a) * sum(y * y for y in b)
    similarity: float = sum(x * y for x, y in zip(a, b, strict=True)) / math.sqrt(norms)
    return round(similarity, 6)


def namespaces(question: dict[str, Any]) -> set[str]:
    rest = [question["category"], question["embedder"], question["context"]]
    keys = ("\0".join([space, *rest]).encode() for space in (question["tenant"], question["space"]))
    return {hashlib.blake2b(key, digest_size=16).hexdigest() for key in keys}


def check(hit: dict[str, Any], asked: dict[str, Any], kept: dict[str, Any], answer: str, at_ms: int) -> dict[str, bool]:
    same = asked["text_digest"] == kept["text_digest"]
    similarity = 1.0 if same else cosine(asked["vector"], kept["vector"])
    weights = [guard["weight"] for guard in hit["guards"] if guard["entry_id"] == hit["entry_id"]]
    score = round(similarity - sum(weights) - (hit["head_weight"] or 0), 6)
    text = json.loads(answer)["choices"][0]["message"]["content"]
    return {
        "schema": VALID["decision"].is_valid(hit),
        "namespace": hit["namespace"] in namespaces(asked) & namespaces(kept),
        "similarity": hit["similarity"] == similarity,
        "score": hit["score"] in (None, score) and hit["threshold"] <= score,
        "age": hit["entry_age_ms"] == hit["time_ms"] - at_ms and (hit["stale"] or hit["entry_age_ms"] < hit["ttl_ms"]),
        "answer": hit["answer"] == hashlib.blake2b(text.encode(), digest_size=16).hexdigest(),
    }


def audit(journal: list[dict[str, Any]], decisions: list[dict[str, Any]]) -> tuple[int, list[str]]:
    """How many hits there are, and what is wrong."""
    events = {(row["partition"], row["offset"]): (row["ts"], json.loads(row["payload"])) for row in journal}
    wrong = [f"journal{at}: no event" for at, (_, event) in events.items() if not VALID["journal"].is_valid(event)]
    asked = {event["id"]: event for _, event in events.values() if event["kind"] == "Asked"}
    hits = [hit for hit in (json.loads(row["payload"]) for row in decisions) if hit["outcome"] == "hit"]
    for hit in hits:
        partition, offset, _ = hit["entry_id"].split("-", 2)
        at_ms, answered = events.get((int(partition), int(offset)), (0, {}))
        mine, kept = asked.get(hit["id"]), asked.get(answered.get("forward_id", ""))
        if mine is None or kept is None:
            wrong.append(f"{hit['id']}: its question, or that of {hit['entry_id']}, is not in the journal")
            continue
        checks = check(hit, mine, kept, answered["body"]["data"], at_ms)
        wrong += [f"{hit['id']}: the {name} is wrong" for name, right in checks.items() if not right]
    return len(hits), wrong


if __name__ == "__main__":
    count, found = audit(*([json.loads(row) for row in Path(name).read_bytes().splitlines()] for name in sys.argv[1:3]))
    print(*found, f"{count} hits, {len(found)} things wrong", sep="\n")
    sys.exit(bool(found))
