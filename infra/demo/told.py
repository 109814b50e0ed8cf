"""What the demo tells a newcomer of its steps, and what to try next: lines of 80 columns."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from infra.demo.asked import AskedQuestion
from infra.demo.script import WithdrawalStep
from infra.demo.steps import TwoAsks

COLUMNS = 80
INDENT = "  "
HANGING = " " * 13


def tell_guard(asked: Sequence[AskedQuestion]) -> list[str]:
    """The first question that a guard had to refuse: near enough, with the guard and its words. Empty without one."""
    one = first_refused(asked)
    if one is None:
        return []
    return [
        "A guard refuses what is near enough by similarity:",
        *_row("answered", quoted(one.question.near or "")),
        *_row("asked", quoted(one.question.question)),
        *_row("came", f"{_near(one)}: near enough"),
        *_row("then", f"{_in_words(one)}: {refusal(one)}"),
    ]


def tell_load(asks: TwoAsks) -> list[str]:
    """A question that is served only under load."""
    before, under = asks
    return [
        "Load relaxes a threshold, as far as the category's policy allows:",
        *_row("answered", quoted(under.question.same_as or "")),
        *_row("asked", quoted(before.question.question)),
        *_row("came", f"{_near(before)}: {_in_words(before)}"),
        *_row("then", f"the model is reported overloaded; threshold {_bar(under)}: {_in_words(under)}"),
    ]


def tell_withdrawal(step: WithdrawalStep, asks: TwoAsks) -> list[str]:
    """A question that is served until the answer is withdrawn."""
    before, after = asks
    return [
        "A withdrawal is in force everywhere at once:",
        *_row("answered", quoted(step.same_as)),
        *_row("asked", quoted(step.question)),
        *_row("came", f"{_near(before)}: {_in_words(before)}"),
        *_row("then", f"withdrawn by `refrain invalidate --source {step.source}`: {_in_words(after)}"),
    ]


def first_refused(asked: Sequence[AskedQuestion]) -> AskedQuestion | None:
    """The first question that a guard had to refuse."""
    return next((one for one in asked if one.question.guard is not None), None)


def refusal(one: AskedQuestion) -> str:
    """The guards that refused a question, each with the words that decided; else the reason of the outcome."""
    decision = one.decision
    if decision is None:
        return "no decision"
    refused = [told for told in decision.guards if told.verdict == "refused"]
    if not refused:
        return decision.reason
    names = ", ".join(f"{told.guard} ({', '.join(told.words)})" if told.words else str(told.guard) for told in refused)
    return f"refused by the guard {names}"


def next_commands(asked: Sequence[AskedQuestion], options: str = "") -> list[tuple[str, str]]:
    """What to try on the service that still runs: what it shows, and the command. `options` stand behind `refrain`."""
    refrain = f".venv/bin/refrain{options}"
    refused = first_refused(asked)
    seen = [one for one in (refused, *asked) if one is not None and one.decision is not None]
    commands = [
        ("every decision so far: outcome, similarity, reason", f"{refrain} watch decisions --since 1h --no-follow"),
        ("hits, room and saved time by category", f"{refrain} stats"),
        ("what another policy would have served", f"{refrain} whatif infra/policies/paper.yaml"),
        ("fold the log again: does every decision come out the same?", f"{refrain} audit"),
        ("a question of your own", f'{refrain} ask "How do I sort a list in Python?"'),
    ]
    if seen and seen[0].decision is not None:
        why = "why that guard refused, and what would have made it a hit" if refused is seen[0] else "why that came"
        commands.insert(0, (why, f"{refrain} explain {seen[0].decision.id}"))
    return commands


def tell_next(commands: Sequence[tuple[str, str]]) -> list[str]:
    """The commands, each below what it shows; none is ever broken, so that it can be copied."""
    lines = ["It runs on until Ctrl-C. Try next, in this folder, from a second terminal:"]
    for shows, command in commands:
        lines += [f"{INDENT}# {shows}", f"{INDENT}{command}"]
    return lines


def quoted(text: str) -> str:
    """A question in quotation marks."""
    return f'"{text}"'


def _in_words(one: AskedQuestion) -> str:
    words = {"not_cached": "nothing near enough", "miss": "a miss", "hit": "a hit"}
    return words.get(one.outcome, one.outcome)


def _near(one: AskedQuestion) -> str:
    decision = one.decision
    if decision is None or decision.similarity is None:
        return f"no similarity, threshold {_bar(one)}"
    # Of a refusal nothing is left, whatever the others take off.
    refused = any(each.verdict == "refused" for each in decision.guards)
    taken = 0.0 if refused else sum(each.weight for each in decision.guards)
    less = f", less {taken:.2f} by the guards" if taken else ""
    return f"similarity {decision.similarity:.2f}{less}, threshold {_bar(one)}"


def _bar(one: AskedQuestion) -> str:
    decision = one.decision
    return "unknown" if decision is None or decision.threshold is None else f"{decision.threshold:.2f}"


def _row(label: str, text: str) -> list[str]:
    return textwrap.wrap(
        text,
        COLUMNS,
        initial_indent=f"{INDENT}{label:<{len(HANGING) - len(INDENT)}}",
        subsequent_indent=HANGING,
        break_long_words=False,
        break_on_hyphens=False,
    )
