"""Bodies of chat requests as clients of OpenAI-compatible servers send them: every documented part, drawn at random."""

from __future__ import annotations

import base64
import random
from collections.abc import Callable

from tests.fuzz.requests import Json

SUBJECTS = ("a ledger", "the tides", "a compiler", "rye bread", "an orbit", "the alphabet", "a beehive", "a canal")
VERBS = ("How do I describe", "What makes", "Why would one draw", "Please compare", "Summarise", "Translate")
ENDS = ("?", " in one line?", " for a child?", ", step by step.", " and its parts?")
CALL = "call_7"


def chat_body(rng: random.Random) -> dict[str, Json]:
    """The body of one chat request: a question in one of its forms, with some of the options."""
    body: dict[str, Json] = {"model": rng.choice(("default", "demo", "m-1")), "messages": _messages(rng)}
    for option in rng.sample(_OPTIONS, rng.randrange(5)):
        body |= option(rng)
    return body


def question(rng: random.Random) -> str:
    """A question in plain words, another one most of the time."""
    return f"{rng.choice(VERBS)} {rng.choice(SUBJECTS)} number {rng.randrange(10_000)}{rng.choice(ENDS)}"


def _messages(rng: random.Random) -> list[Json]:
    start: list[Json] = []
    if rng.random() < 0.4:
        start.append({"role": rng.choice(("system", "developer")), "content": "You answer in plain words."})
    if rng.random() < 0.3:
        start += rng.choice((_turns, _tool_turns, _function_turns))(rng)
    return [*start, {"role": "user", "content": _content(rng)}]


def _turns(rng: random.Random) -> list[Json]:
    said = {"role": "assistant", "content": rng.choice(("It is so.", None, [{"type": "refusal", "refusal": "No."}]))}
    return [{"role": "user", "content": question(rng), "name": "ana"}, said]


def _tool_turns(rng: random.Random) -> list[Json]:
    call = {"id": CALL, "type": "function", "function": {"name": "look_up", "arguments": '{"place": "Bonn"}'}}
    return [
        {"role": "user", "content": question(rng)},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": CALL, "content": rng.choice(("7 degrees", [{"type": "text", "text": "7"}]))},
    ]


def _function_turns(rng: random.Random) -> list[Json]:
    """The older form of a call of a tool."""
    return [
        {"role": "user", "content": question(rng)},
        {"role": "assistant", "content": None, "function_call": {"name": "look_up", "arguments": "{}"}},
        {"role": "function", "name": "look_up", "content": "7 degrees"},
    ]


def _content(rng: random.Random) -> Json:
    text: Json = {"type": "text", "text": question(rng)}
    kind = rng.randrange(6)
    if kind == 0:
        return [text]
    if kind == 1:
        data = base64.b64encode(rng.randbytes(rng.randrange(200))).decode()
        return [text, {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{data}", "detail": "low"}}]
    if kind == 2:
        return [{"type": "input_audio", "input_audio": {"data": "UklGRg==", "format": "wav"}}, text]
    if kind == 3:
        return [{"type": "file", "file": {"filename": "plan.pdf", "file_data": "data:application/pdf;base64,JVBERg=="}}]
    return question(rng)


def _tools(rng: random.Random) -> dict[str, Json]:
    schema = {"type": "object", "properties": {"place": {"type": "string"}}, "required": ["place"]}
    tool = {"type": "function", "function": {"name": "look_up", "parameters": schema, "strict": True}}
    choice = rng.choice(("auto", "none", "required", {"type": "function", "function": {"name": "look_up"}}))
    return {"tools": [tool], "tool_choice": choice, "parallel_tool_calls": rng.random() < 0.5}


def _functions(rng: random.Random) -> dict[str, Json]:
    return {"functions": [{"name": "look_up", "parameters": {}}], "function_call": rng.choice(("auto", "none"))}


def _format(rng: random.Random) -> dict[str, Json]:
    schema = {"name": "plan", "strict": True, "schema": {"type": "object", "additionalProperties": False}}
    kinds: list[Json] = [{"type": "text"}, {"type": "json_object"}, {"type": "json_schema", "json_schema": schema}]
    return {"response_format": rng.choice(kinds)}


def _stream(rng: random.Random) -> dict[str, Json]:
    return {"stream": rng.random() < 0.7, "stream_options": {"include_usage": True}}


def _logprobs(rng: random.Random) -> dict[str, Json]:
    return {"logprobs": True, "top_logprobs": rng.randrange(21), "logit_bias": {str(rng.randrange(50_000)): -100}}


def _sampling(rng: random.Random) -> dict[str, Json]:
    return {
        "temperature": rng.uniform(0, 2),
        "top_p": rng.random(),
        "seed": rng.randrange(2**40),
        "stop": rng.choice((None, "\n", ["END", "###"])),
        "presence_penalty": rng.uniform(-2, 2),
    }


def _lengths(rng: random.Random) -> dict[str, Json]:
    return {rng.choice(("max_tokens", "max_completion_tokens")): rng.randrange(1, 4_096), "n": rng.randrange(1, 4)}


def _audio(rng: random.Random) -> dict[str, Json]:
    return {"modalities": ["text", "audio"], "audio": {"voice": "alloy", "format": rng.choice(("wav", "mp3"))}}


def _accounting(rng: random.Random) -> dict[str, Json]:
    return {"user": f"u{rng.randrange(9)}", "metadata": {"team": "a"}, "store": False, "service_tier": "auto"}


def _reasoning(rng: random.Random) -> dict[str, Json]:
    prediction = {"type": "content", "content": "It is so."}
    return {"reasoning_effort": rng.choice(("low", "high")), "prediction": prediction}


_OPTIONS: tuple[Callable[[random.Random], dict[str, Json]], ...] = (
    _tools, _functions, _format, _stream, _logprobs, _sampling, _lengths, _audio, _accounting, _reasoning,
)  # fmt: skip
