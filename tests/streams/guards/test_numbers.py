from __future__ import annotations

import pytest

from refrain.schemas.policy import Guard
from tests.streams.guards.verdicts import refuses


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("What is 2+2?", "What is 2+3?"),
        ("half an hour", "an hour and 20 minutes"),
        ("a third of it", "a quarter of it"),
        ("60 mph", "60 km per hour"),
        ("Is 5 mg too much?", "Is 5 g too much?"),
        ("Wait 30 seconds", "Wait 30 minutes"),
        ("What is 20% of 50?", "What is 30% of 50?"),
        ("The second step", "The third step"),
        ("the first two steps", "the second step"),
        ("Python 3.11", "Python 3.12"),
        ("Is $100 enough?", "Is €100 enough?"),
        ("top 5 films", "top films"),
        ("at 7pm", "at 7am"),
        ("on 2024-03-05", "on 2024-05-03"),
        ("in January", "in June"),
        ("on Monday", "on Friday"),
        ("one man", "two men"),
        ("per day", "per week"),
        ("Is -5 less than 3?", "Is 5 less than 3?"),
        ("1.4.2", "1.4.3"),
        ("你有3个苹果", "你有4个苹果"),
        ("How do I run a 5k?", "How do I run a 10k?"),
    ],
)
def test_other_numbers_and_units_are_refused(a: str, b: str) -> None:
    assert refuses(Guard.NUMBERS, a, b)


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("two eggs", "2 eggs"),
        ("half an hour", "30 minutes"),
        ("two thirds of it", "2/3 of it"),
        ("one week", "1 week"),
        ("60 mph", "60 miles per hour"),
        ("in nineteen eighty-four", "in 1984"),
        ("two and a half hours", "150 minutes"),
        ("1,000 users", "1000 users"),
        ("007 agents", "7 agents"),
        ("٣ apples", "3 apples"),
        ("3.0 litres", "3 litres"),
        ("0.5 km by bus", "500 m by bus"),
        ("two hundred and five", "205"),
        ("twenty-one days", "21 days"),
        ("1.5 million", "1500000"),
        ("5k", "5000"),
        ("50 percent", "50%"),
        ("$5", "5 dollars"),
        ("60 seconds", "1 minute"),
        ("2 kg", "2000 grams"),
        ("the 3rd planet", "the third planet"),
        ("the second step", "step 2"),
        ("one egg a day", "an egg a day"),
        ("7pm", "7 pm"),
        ("2:30 pm", "14:30"),
        ("2024-03-05", "March 5, 2024"),
        ("World War II", "World War 2"),
        ("30 °C", "30 degrees Celsius"),
        ("half past", "half past"),
        ("Can I train for a 5k in May?", "Can I train for a 5 km in May?"),
        ("Is 10k a good salary?", "Is 10,000 a good salary?"),
    ],
)
def test_numbers_of_one_value_pass_however_they_are_written(a: str, b: str) -> None:
    assert not refuses(Guard.NUMBERS, a, b)


def test_may_and_march_are_months_only_as_names_or_beside_a_number() -> None:
    assert not refuses(Guard.NUMBERS, "May I march here?", "Can I march here?")
    assert refuses(Guard.NUMBERS, "Is it open in May?", "Is it open in March?")


def test_a_number_of_absurd_length_is_compared_as_it_is_written() -> None:
    assert refuses(Guard.NUMBERS, "9" * 3000, "9" * 2999)
    assert not refuses(Guard.NUMBERS, "1e999999999", "is 1e999999999")
