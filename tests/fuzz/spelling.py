"""Respelling of a JSON value: order of keys, blanks, escapes, and numbers in another form."""

from __future__ import annotations

import json
import random
from decimal import Decimal

from tests.fuzz.requests import Json

_BLANKS = ("", "", "", " ", "\n", "\t", "  \r\n ")


def spelled(rng: random.Random, tree: Json) -> str:
    """JSON text of the value, in one of its many spellings."""
    gap = rng.choice(_BLANKS)
    if isinstance(tree, dict):
        items = list(tree.items())
        rng.shuffle(items)
        return "{" + ",".join(f"{gap}{_text(rng, name)}:{spelled(rng, below)}" for name, below in items) + gap + "}"
    if isinstance(tree, list):
        return "[" + ",".join(gap + spelled(rng, below) for below in tree) + gap + "]"
    if isinstance(tree, str):
        return _text(rng, tree) + gap
    if isinstance(tree, bool) or tree is None:
        return json.dumps(tree) + gap
    return _number(rng, tree) + gap


def _text(rng: random.Random, text: str) -> str:
    plain = json.dumps(text, ensure_ascii=False)
    kind = rng.randrange(3)
    if kind == 0:
        return plain
    if kind == 1:
        return json.dumps(text)
    return '"' + "".join(_escaped(char) if rng.random() < 0.3 else _plain(char) for char in text) + '"'


def _plain(char: str) -> str:
    return json.dumps(char, ensure_ascii=False)[1:-1]


def _escaped(char: str) -> str:
    units = char.encode("utf-16-be")
    return "".join(f"\\u{units[at]:02x}{units[at + 1]:02X}" for at in range(0, len(units), 2))


def _number(rng: random.Random, number: int | float) -> str:
    exact = Decimal(repr(number))
    if number == 0:
        return rng.choice(("0", "-0", "0.0", "-0.0", "0e5", "0.000"))
    forms = [repr(number)]
    # Written with a point or an exponent a number is read as a float: only where that loses nothing.
    if isinstance(number, float) or Decimal(repr(float(number))) == exact:
        sign, digits, exponent = exact.as_tuple()
        assert isinstance(exponent, int)
        minus, all_digits = "-" * sign, "".join(map(str, digits))
        forms += [
            f"{minus}{all_digits}e{exponent}",
            f"{minus}{all_digits}0E{exponent - 1}",
            f"{minus}{all_digits[0]}.{all_digits[1:] or '0'}e+{exponent + len(digits) - 1}".replace("+-", "-"),
        ]
        if exact == exact.to_integral_value():
            forms += [f"{int(exact)}.0", f"{int(exact)}.000", str(int(exact))]
    return rng.choice(forms)
