"""The guard `numbers`: quantities must be equal by value, however written, and in the same units."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from fractions import Fraction
from operator import attrgetter
from typing import NamedTuple

from refrain.streams.guards.content_words import FUNCTION
from refrain.streams.guards.item import Item
from refrain.streams.guards.lexicon import Unit, groups, pairs, units

_UNITS = units()
_WORDS: dict[str, int] = {}
_ORDINALS: dict[str, int] = {}
_SCALES: dict[str, int] = {"k": 1_000, "m": 1_000_000, "mn": 1_000_000, "bn": 10**9, "b": 10**9}
for _word, _value in pairs("number_words"):
    if _value.startswith("x"):
        _SCALES[_word] = int(_value[1:])
    elif _value.isdigit():
        _WORDS[_word] = int(_value)
    else:
        _ORDINALS[_word] = int(_value[:-2])


class _Half(NamedTuple):
    """Half of a day that is told in words, with how many."""

    letter: str
    words: int


_ROMAN = {"II": 2, "III": 3, "IV": 4, "VI": 6, "VII": 7, "VIII": 8, "IX": 9, "XI": 11, "XII": 12, "XIV": 14}
_ORDINAL_ENDS = frozenset(("st", "nd", "rd", "th"))
_CLOCK = re.compile(r"(\d{1,2})(?::(\d{2}))?(?::(\d{2}))?\s?(?:([ap])\.?m\.?)?$")
_CALENDAR = {name: number for number, names in enumerate(groups("dates"), 1) for name in names}
_MONTHS = 12
_UNSURE = frozenset(("may", "march"))
"""Names of the calendar that are words of their own unless written as names or beside a number."""
_SHORT_CHARS = 4
"""Names of the calendar that are no longer must be written as names."""
_BESIDE_NUMBERS = frozenset("mar sun sat wed mon dec".split())
"""Short names of the calendar that are read as such only beside a number."""
_BOUNDS: dict[str, list[tuple[list[str], str]]] = {}
"""Words that say a bound, with its sign, by the last of them."""
for _words, _sign in ((said.split(), sign) for said, sign in pairs("bounds")):
    _BOUNDS.setdefault(_words[-1], []).append((_words, _sign))
_BOUND_WORDS = 3
_LARGE = frozenset("hundred thousand million billion trillion lakh crore".split())
_HALF_WORDS = 4
_PARTS = {
    "half": 2, "halves": 2, "third": 3, "thirds": 3, "quarter": 4, "quarters": 4, "fourth": 4, "fourths": 4, "fifth": 5,
    "fifths": 5, "sixth": 6, "sixths": 6, "eighth": 8, "eighths": 8, "tenth": 10, "tenths": 10,
}  # fmt: skip
"""Words for parts of a whole, by how many make it: two thirds of, half an hour."""
_OVER, _OF, _A = "/", "of", frozenset(("a", "an"))
_AND_A_HALF = ["and", "a", "half"]
_CENTURIES = frozenset((17, 18, 19, 20))
"""Numbers with which a year begins that is told in words: nineteen eighty-four."""
_SCALES_OF_HEAT = {"F": _UNITS["fahrenheit"], "C": _UNITS["celsius"]}
_PER = frozenset(("per", "/", "a", "an"))
_SPEED = "speed"
_HOUR_SECONDS = 3_600
_SHORT_DAYS = frozenset("mon wed sat sun".split())
_HOUR = re.compile("0?[1-9]|1[0-2]")
_ORDINAL = "ordinal"
_ASKING = frozenset("how what where when why".split())
_AUXILIARY = frozenset("do does did can could should would will might may must".split())
_OF_ONE = frozenset("of in or and more less day time person people".split())
"""Words before which a "one" counts."""
_FOOT, _INCH = _UNITS["foot"], _UNITS["inch"]
_FEET = frozenset(("'", "\u2019", "ft", "foot", "feet"))
_INCHES = frozenset(('"', "\u201d", "''", "in", "inch", "inches"))
_FOOT_INCHES = 12
_UNTIL = frozenset("in until till since by before after early late mid next last".split())
"""Words behind which a short name of a month is one: in Dec, since Mar."""
_POUND = "pound"
_RUNNING = frozenset("run race train marathon jog runner".split())
"""Stems of words of a text in which 5k is how far somebody runs."""
_HALVES = [(said.split(), _Half(letter, len(said.split()))) for said, letter in pairs("halves")]
_DIGITAL = frozenset(("number", "time", "date", "version"))
_SAYING = frozenset(("one", *_ORDINALS, *_WORDS, *_LARGE, *_CALENDAR, *_PARTS))
"""Words that may say a quantity."""
DIGITS_MAX = 40
"""A longer number is compared as it is written."""


Value = int | Fraction | str
"""Of a number; a text where it is compared as it is written."""


class Quantity(NamedTuple):
    """Quantity: a number's value in the base of its dimension; ordinals, times and dates are dimensions, too."""

    value: Value
    dimension: str


class Quantities(NamedTuple):
    """Quantities in a text, with the words that say them."""

    counted: Counter[Quantity]
    texts: dict[Quantity, str]
    units: frozenset[tuple[str, Fraction]]
    """Units that are named without a number."""
    unit_texts: dict[tuple[str, Fraction], str]
    bounds: tuple[tuple[str, Value], ...]
    """Numbers that are a bound (more than two, at least two), with its sign."""
    naming: frozenset[Value]
    """Numbers that name the noun before them ("step 2") instead of counting what follows."""
    used: frozenset[int]
    """The items that are part of a number."""


_MAY_COUNT = attrgetter("may_count")
_NONE = Quantities(Counter(), {}, frozenset(), {}, (), frozenset(), frozenset())
"""Those of every text in which nothing is counted."""


def read_quantities(items: Sequence[Item]) -> Quantities:
    """Extract the quantities of a text."""
    if not any(map(_MAY_COUNT, items)):
        return _NONE
    counted: Counter[Quantity] = Counter()
    texts: dict[Quantity, str] = {}
    alone: dict[tuple[str, Fraction], str] = {}
    used: set[int] = set()
    naming: set[Value] = set()
    bounds: list[tuple[str, Value]] = []
    end = 0
    for at, item in enumerate(items):
        if at < end or not item.may_count:
            continue
        quantities, end = _quantities(items, at)
        if quantities and quantities[0].dimension == _ORDINAL and _is_day(items, at, end):
            quantities = [Quantity(quantities[0].value, "")]
        for quantity in quantities:
            counted[quantity] += 1
            texts.setdefault(quantity, item.text)
        if quantities:
            if not _is_anybody(items, at):
                used.update(range(at, end))
            if sign := _bound(items, at):
                bounds.append((sign, quantities[0].value))
            if _closes(items, at, end):
                naming.add(quantities[0].value)
        elif item.kind in ("word", "operator") and item.low in _UNITS:
            unit, end = _speed(items, at + 1, _UNITS[item.low])
            alone.setdefault((unit.dimension, unit.factor), item.text)
    return Quantities(counted, texts, frozenset(alone), alone, tuple(bounds), frozenset(naming), frozenset(used))


def _is_day(items: Sequence[Item], at: int, end: int) -> bool:
    """Whether an ordinal is the day of a month: the 1st of May, May 1st."""
    if at and _CALENDAR.get(items[at - 1].low, _MONTHS + 1) <= _MONTHS:
        return True
    after = next((item.low for item in items[end : end + 2] if item.low != "of"), "")
    return _CALENDAR.get(after, _MONTHS + 1) <= _MONTHS


def may_count(item: Item) -> bool:
    """Whether a quantity or a unit may begin with an item: with most words of a text none does."""
    if item.kind in _DIGITAL or (item.kind in ("word", "operator") and item.low in _UNITS):
        return True
    return item.kind == "word" and (item.low in _SAYING or item.text in _ROMAN or item.text == "I")


def on_both_sides(a: Quantities, b: Quantities) -> bool:
    """Whether each text has a number, or a bound of one, that the other has not."""
    mine, theirs = a.counted - b.counted, b.counted - a.counted
    return bool(mine) and bool(theirs) if mine or theirs else a.bounds != b.bounds


def differences(a: Quantities, b: Quantities) -> tuple[str, ...]:
    """Differences: numbers and units that stand in one text only, as they are written."""
    if a is b:
        return ()
    # Counts are never 0 here: as dicts, counters compare much quicker.
    if dict.__eq__(a.counted, b.counted) and a.units == b.units:
        return _other_bounds(a, b)
    mine, theirs = a.counted - b.counted, b.counted - a.counted
    for counted, others, other in ((mine, theirs, b), (theirs, mine, a)):
        _reconcile(counted, others, other)
    said = [a.texts[f] for f in mine if not _weak(f)] + [b.texts[f] for f in theirs if not _weak(f)]
    return tuple(said) or _other_units(a, b) or _other_bounds(a, b)


def _other_bounds(a: Quantities, b: Quantities) -> tuple[str, ...]:
    """Numbers that are a bound of another kind, or of none, in the other text."""
    apart = {value for _, value in frozenset(a.bounds) ^ frozenset(b.bounds)}
    return tuple(dict.fromkeys(q.texts[f] for q in (a, b) for f in q.texts if f.value in apart)) if apart else ()


def _bound(items: Sequence[Item], at: int) -> str:
    """Sign of the bound that the words before a number say, "" for none; an article may stand between (a hundred)."""
    if at and items[at - 1].low == "a":
        at -= 1
    known = _BOUNDS.get(items[at - 1].low) if at else None
    if known is None:
        return ""
    before = [item.low for item in items[max(0, at - _BOUND_WORDS) : at]]
    return next((sign for said, sign in known if before[-len(said) :] == said), "")


def _weak(quantity: Quantity) -> bool:
    """A written "one" says little: "one of", "an apple" and "one apple"."""
    return quantity.dimension == "one"


def _reconcile(mine: Counter[Quantity], theirs: Counter[Quantity], other: Quantities) -> None:
    """Take out what the other text says without the number or with another one.

    That is an ordinal that a naming number says, too (the second step, step 2), "one" where 1 stands, and 1 of a unit
    that the other text names alone (1 week, a week).
    """
    for quantity in [f for f in mine if (f.dimension, f.value) in other.units]:
        del mine[quantity]
    naming = other.naming
    for quantity in [f for f in mine if f.dimension == _POUND]:
        # What weighs or costs a pound is not told apart from its name.
        for same in (Quantity(quantity.value, "gbp"), _mass_of(quantity)):
            _share(mine, quantity, theirs, same)
    for quantity in [f for f in mine if f.dimension == "one" or (f.dimension == _ORDINAL and f.value in naming)]:
        _share(mine, quantity, theirs, Quantity(quantity.value, ""))
    for counter in (mine, theirs):
        for quantity in [f for f, count in counter.items() if count <= 0]:
            del counter[quantity]


def _share(mine: Counter[Quantity], quantity: Quantity, theirs: Counter[Quantity], other: Quantity) -> None:
    """Take out what both have of a quantity that each names in its way."""
    shared = min(mine[quantity], theirs[other])
    mine[quantity] -= shared
    theirs[other] -= shared


def _mass_of(pounds: Quantity) -> Quantity:
    return pounds if isinstance(pounds.value, str) else Quantity(pounds.value * _UNITS["lb"].factor, "mass")


def _other_units(a: Quantities, b: Quantities) -> tuple[str, ...]:
    """Units of one dimension of which each side names one that the other does not."""
    for mine in sorted(a.units - b.units):
        for theirs in sorted(b.units - a.units):
            if mine[0] == theirs[0]:
                return (a.unit_texts[mine], b.unit_texts[theirs])
    return ()


def _quantities(items: Sequence[Item], at: int) -> tuple[list[Quantity], int]:
    """Parse the quantities that begin at an item; returns them and the index after them."""
    item = items[at]
    if part := _part(items, at):
        return part
    if item.kind in ("number", "time") and (half := _half_of_day(items, at)):
        return [_clock(f"{item.low}{half.letter}m")], at + 1 + half.words
    if item.kind == "number":
        return _measured(items, at, at + 1, _number(item.low))
    if item.kind == "time":
        return [_clock(item.low)], at + 1
    if item.kind == "date":
        return _date(item.low), at + 1
    if item.kind == "version":
        return [Quantity(item.low.lstrip("v"), "version")], at + 1
    if item.kind == "operator" and item.low in _UNITS and at + 1 < len(items) and items[at + 1].kind == "number":
        return _measured(items, at, at + 2, _number(items[at + 1].low), _UNITS[item.low])
    if item.kind != "word":
        return [], at + 1
    if item.low in _ORDINALS and not (item.low == "second" and _after_number(items, at)):
        return [Quantity(Fraction(_ORDINALS[item.low]), _ORDINAL)], at + 1
    if item.low == "one":
        return [Quantity(Fraction(1), "one")], at + 1
    if item.low in _WORDS or item.low in _LARGE:
        value, end = _written(items, at)
        return _measured(items, at, end, value)
    last = at + 1 >= len(items) or items[at + 1].kind != "word"
    if item.text == "I" and last and at and items[at - 1].text[:1].isupper():
        return [Quantity(Fraction(1), "")], at + 1
    if item.text in _ROMAN and at and items[at - 1].kind == "word":
        return [Quantity(Fraction(_ROMAN[item.text]), "")], at + 1
    if item.low in _CALENDAR and _is_date(items, at):
        return [_named(_CALENDAR[item.low])], at + 1
    return [], at + 1


def _is_anybody(items: Sequence[Item], at: int) -> bool:
    """Whether a "one" may say who does it, and is a word as well: how does one, where could one."""
    if items[at].low != "one":
        return False
    before = [item.low for item in items[max(0, at - 2) : at]]
    behind = items[at + 1 : at + 2]
    asks = len(before) == 2 and before[0] in _ASKING and before[1] in _AUXILIARY
    return asks and bool(behind) and behind[0].kind == "word" and behind[0].low not in _OF_ONE


def _part(items: Sequence[Item], at: int) -> tuple[list[Quantity], int] | None:
    """A part of a whole that begins at an item (two thirds of, 1/3 of, half an hour), and the index after it."""
    item = items[at]
    end = at + 1
    if item.kind == "number":
        if not (item.low.isdecimal() and _OVER in (each.low for each in items[end : end + 1]) and len(items) > at + 3):
            return None
        below = items[at + 2].low
        if not below.isdecimal() or max(len(item.low), len(below)) > _SHORT_CHARS or int(below) == 0:
            return None
        value, end = Fraction(int(item.low), int(below)), at + 3
    elif item.low in _PARTS:
        before = items[at - 1].low if at else ""
        if before not in _A and item.low not in ("half", "quarter"):
            return None
        value = Fraction(1, _PARTS[item.low])
    elif (many := _WORDS.get(item.low, 1 if item.low == "one" else 0)) and end < len(items):
        if items[end].low not in _PARTS:
            return None
        value, end = Fraction(many, _PARTS[items[end].low]), end + 1
    else:
        return None
    return _part_of(items, at, end, value)


def _part_of(items: Sequence[Item], at: int, end: int, value: Fraction) -> tuple[list[Quantity], int] | None:
    """What a part is of: a unit, or a whole, of which it is so many percent; None where neither stands behind it."""
    behind = [item.low for item in items[end : end + 3]]
    article = next((n for n, low in enumerate(behind[:2]) if low in _A), -1)
    named = behind[article + 1 : article + 2]
    if named and named[0] in _UNITS and (article == 0 or behind[0] in (_OF, named[0])):
        unit = _UNITS[named[0]]
        return [Quantity(value * unit.factor, unit.dimension)], end + article + 2
    if behind[:1] == [_OF] and items[at].low not in ("quarter",):
        return [Quantity(value * 100, "percent")], end + 1
    return None


def _half_of_day(items: Sequence[Item], at: int) -> _Half | None:
    """What the words behind an hour or a time say of its half: 9 in the morning."""
    if items[at].kind == "number" and not _HOUR.fullmatch(items[at].low):
        return None
    behind = [item.low for item in items[at + 1 : at + 1 + _HALF_WORDS]]
    return next((half for said, half in _HALVES if behind[: len(said)] == said), None)


def _is_date(items: Sequence[Item], at: int) -> bool:
    item = items[at]
    name = item.text[:1].isupper() and not item.initial
    if name and item.low in _SHORT_DAYS and items[at - 1].low == "on":
        return True
    if name and items[at - 1].low in _UNTIL and _CALENDAR[item.low] <= _MONTHS:
        return True
    if item.low not in _BESIDE_NUMBERS and (name or (item.low not in _UNSURE and len(item.low) > _SHORT_CHARS)):
        return True
    return any(0 <= beside < len(items) and items[beside].kind == "number" for beside in (at - 1, at + 1))


def _named(number: int) -> Quantity:
    """A month or a weekday of the calendar."""
    month = number <= _MONTHS
    return Quantity(Fraction(number if month else number - _MONTHS), "month" if month else "weekday")


def _after_number(items: Sequence[Item], at: int) -> bool:
    return at > 0 and (items[at - 1].kind == "number" or items[at - 1].low in _WORDS or items[at - 1].low == "per")


def _number(low: str) -> Value:
    plain = low.replace(",", "")
    if len(plain) > DIGITS_MAX:
        return plain
    if plain.isdecimal():
        # Equal to the fraction, also as a key, and made and hashed in a tenth of the time.
        return int(plain)
    exponent = plain.partition("e")[2]
    try:
        return plain if len(exponent) > 3 else Fraction(plain)
    except ValueError:
        return plain


def _measured(
    items: Sequence[Item], at: int, end: int, value: Value, unit: Unit | None = None
) -> tuple[list[Quantity], int]:
    """Parse a number's scale, ordinal ending and unit."""
    if isinstance(value, str):
        return [Quantity(value, "digits")], end
    if (height := _height(items, end, value)) is not None:
        return height
    glued = end < len(items) and items[end].kind == "word"
    if glued and items[end].low in _ORDINAL_ENDS:
        return [Quantity(value, _ORDINAL)], end + 1
    if (
        glued
        and items[end].low in _SCALES
        and (items[end].low not in _UNITS or unit is not None or items[end].low == "k")
    ):
        value, unit, end = value * _SCALES[items[end].low], unit or _run(items, end), end + 1
    if [item.low for item in items[end : end + 3]] == _AND_A_HALF:
        value, end = value + Fraction(1, 2), end + 3
    if unit is None and end < len(items) and items[end].text in _SCALES_OF_HEAT and _is_last(items, end):
        unit, end = _SCALES_OF_HEAT[items[end].text], end + 1
    if unit is None and end < len(items) and items[end].kind in ("word", "operator"):
        found = _UNITS.get(items[end].low) or (_UNITS["s"] if items[end].low == "second" else None)
        if found is not None and not _modulo(items, end):
            unit, end = _speed(items, end + 1, found)
    if unit is not None:
        return [Quantity(value * unit.factor, unit.dimension)], end
    return [Quantity(value, "")], end


def _run(items: Sequence[Item], at: int) -> Unit | None:
    """The metre, where a "k" stands behind how far somebody runs: train for a 5k."""
    return _UNITS["metre"] if items[at].low == "k" and any(item.stem in _RUNNING for item in items) else None


def _height(items: Sequence[Item], end: int, feet: Value) -> tuple[list[Quantity], int] | None:
    """A length in feet and inches, and the index after it: 5'4", 5 ft 4."""
    if len(items) < end + 2 or items[end].low not in _FEET or items[end + 1].kind != "number":
        return None
    inches = _number(items[end + 1].low)
    if isinstance(feet, str) or isinstance(inches, str) or inches >= _FOOT_INCHES:
        return None
    end += 2
    if end < len(items) and items[end].low in _INCHES:
        end += 1
    return [Quantity(feet * _FOOT.factor + inches * _INCH.factor, _FOOT.dimension)], end


def _is_last(items: Sequence[Item], at: int) -> bool:
    """Whether no word of meaning follows that an item would belong to."""
    return at + 1 >= len(items) or items[at + 1].kind != "word" or items[at + 1].low in FUNCTION


def _speed(items: Sequence[Item], end: int, unit: Unit) -> tuple[Unit, int]:
    """The unit before an index, with what it is told by (miles per hour), and the index after both."""
    if unit.dimension != "length" or end + 1 >= len(items) or items[end].low not in _PER:
        return unit, end
    time = _UNITS.get(items[end + 1].low)
    if time is None or time.dimension != "time" or time.factor > _HOUR_SECONDS:
        return unit, end
    return Unit(_SPEED, unit.factor * _HOUR_SECONDS / (1000 * time.factor)), end + 2


def _modulo(items: Sequence[Item], end: int) -> bool:
    """Whether a % stands between numbers."""
    return items[end].low == "%" and end + 1 < len(items) and items[end + 1].kind == "number"


def _closes(items: Sequence[Item], at: int, end: int) -> bool:
    before = at > 0 and items[at - 1].kind == "word"
    return before and (end >= len(items) or items[end].kind != "word")


def _written(items: Sequence[Item], at: int) -> tuple[Fraction, int]:
    """A number in words: two hundred and five."""
    total, current, end = 0, 0, at
    while end < len(items):
        low = items[end].low
        if low == "one" and current % 100 >= 20 and current % 10 == 0:
            current += 1
        elif low in _WORDS:
            if current and (current % 100 == 0 or (current % 10 == 0 and _WORDS[low] < 10 and current % 100 >= 20)):
                current += _WORDS[low]
            elif current in _CENTURIES and end == at + 1 and _WORDS[low] >= 10:
                current = current * 100 + _WORDS[low]
            elif current:
                break
            else:
                current = _WORDS[low]
        elif low == "hundred":
            current = (current or 1) * 100
        elif low in _SCALES and len(low) > 2:
            total, current = total + (current or 1) * _SCALES[low], 0
        elif not (
            low == "and" and end > at and end + 1 < len(items) and items[end + 1].low in _WORDS and current >= 100
        ):
            break
        end += 1
    return Fraction(total + current), end


def _clock(low: str) -> Quantity:
    match = _CLOCK.match(low)
    if match is None:
        return Quantity(low, "clock")
    hour, minute, half = int(match[1]), int(match[2] or 0), match[4]
    if half:
        hour = hour % 12 + (12 if half == "p" else 0)
    return Quantity(Fraction(hour * 3600 + minute * 60 + int(match[3] or 0)), "clock")


def _date(low: str) -> list[Quantity]:
    """A date in digits, as its written form would be read: year, month, day."""
    year, month, day = (int(part) for part in low.split("-"))
    if not 1 <= month <= _MONTHS:
        return [Quantity(low, "date")]
    return [Quantity(Fraction(year), ""), _named(month), Quantity(Fraction(day), "")]
