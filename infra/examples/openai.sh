#!/usr/bin/env bash
# Asks the endpoint one question with curl, whole and then as a stream; prints answers and where they came from.
# OPENAI_BASE_URL=http://127.0.0.1:8400/v1 OPENAI_API_KEY=sk-refrain-... infra/examples/openai.sh "How do I ...?"
set -euo pipefail
question=${1:?say a question}
base=${OPENAI_BASE_URL:-http://127.0.0.1:8400/v1}

ask() { # STREAM
    # The question goes into JSON by printf alone where it has neither quotes nor backslashes; use jq for any other.
    curl --silent --show-error --fail-with-body --no-buffer --dump-header - "$base/chat/completions" \
        --header "Authorization: Bearer ${OPENAI_API_KEY:-none}" --header 'Content-Type: application/json' \
        --data "$(printf '{"model": "gpt", "stream": %s, "messages": [{"role": "user", "content": "%s"}]}' "$1" "$question")"
}

ask false | grep -i -E '^x-refrain-(outcome|reason)|"content"|"error"'
ask true | grep -i -E '^x-refrain-(outcome|reason)|^data: |"error"'
