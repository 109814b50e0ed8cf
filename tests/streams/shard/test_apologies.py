"""Texts that say that there is no answer are told from answers."""

from __future__ import annotations

import pytest

from refrain.streams.shard.apologies import CHARS_MAX, is_apology


@pytest.mark.parametrize(
    "text",
    [
        "I'm sorry, but I can't help with that.",
        "I\u2019m sorry, but I can\u2019t assist with that request.",
        "Sorry, I cannot answer this question.",
        "I apologize, but I'm unable to provide that information.",
        "I am really sorry, but as an AI language model, I cannot browse the internet.",
        "As an AI language model, I don't have access to real-time data.",
        "I can't help with that. If you are in danger, call your local emergency number.",
        "Unfortunately, I am not able to complete your request at this time.",
        "I must decline to answer.",
        "Sorry for the inconvenience. The site is being worked on.",
        "**Error:** the tool did not answer",
        "Error 503",
        "500 Internal Server Error",
        "Service unavailable",
        "An unexpected error occurred while processing your request.",
        "I'm sorry, there was an error processing your request.",
        "\u26a0\ufe0f Something went wrong. Please try again later.",
        "Oops! That did not work.",
        "The model is currently overloaded. Please try again.",
        "Rate limit exceeded",
        "Rate limit reached: 20 requests a minute",
        "Request timed out.",
        "  too many requests\n",
        "Failed to generate a response.",
        "Es tut mir leid, aber ich kann dabei nicht helfen.",
        "Je suis d\u00e9sol\u00e9, mais je ne peux pas vous aider.",
        "Lo siento, pero no puedo ayudarte con eso.",
        "Desculpe, mas n\u00e3o posso ajudar com isso.",
        "\u62b1\u6b49\uff0c\u6211\u65e0\u6cd5\u56de\u7b54\u8fd9\u4e2a\u95ee\u9898\u3002",
    ],
)
def test_a_text_that_says_that_there_is_no_answer_is_an_apology(text: str) -> None:
    assert is_apology(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Use reversed(xs) or xs[::-1].",
        "I'm sorry to hear that your dog is ill. Call a vet, and keep it warm.",
        "You can say: I'm sorry, but I can't come.",
        "Say that you cannot help.",
        "Service unavailable means that the server cannot take the request now.",
        "Internal server error is what a server says when it fails.",
        "A 503 tells that a service is unavailable.",
        "Errors are values in Go.",
        "Error handling in Rust goes by the type Result.",
        "The server is a computer that answers requests.",
        "The request failed because the header Host is missing.",
        "Sorry is what you say when you step on somebody's foot.",
        "I cannot recommend this film enough.",
        "Unfortunately, the bridge was destroyed in 1943.",
        "No.",
    ],
)
def test_an_answer_is_none(text: str) -> None:
    assert not is_apology(text)


def test_a_long_answer_with_a_caveat_at_its_beginning_is_none() -> None:
    caveat = "I can't give medical advice, but this is what is known."
    assert is_apology(caveat)
    assert not is_apology(caveat + " More of it." * (CHARS_MAX // 10))
