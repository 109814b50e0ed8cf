"""What is kept of a million records: how often each was answered or set aside; and who of the senders may go on."""

from __future__ import annotations

import pytest

from tests.attack.mutations import shares
from tests.attack.places import BLOCK, TALLY_MAX, Place, Stretch, Stretches, Tally
from tests.attack.together import Sender, is_turn


def test_a_tally_counts_by_place_also_across_blocks_and_no_further_than_a_byte() -> None:
    tally = Tally()
    places = [
        Place(topic, partition, offset) for topic in "ab" for partition in (0, 1) for offset in (0, BLOCK - 1, BLOCK)
    ]
    for times, place in enumerate(places):
        for _ in range(times):
            tally[place] += 1
    assert [tally[place] for place in places] == list(range(len(places)))
    assert tally[Place("a", 0, 5 * BLOCK)] == 0
    for _ in range(2 * TALLY_MAX):
        tally[places[0]] += 1
    assert tally[places[0]] == TALLY_MAX


def test_stretches_are_the_places_of_all_their_records() -> None:
    stretches = Stretches()
    assert not stretches
    stretches.add([Stretch("a", 1, 7, 2), Stretch("b", 0, 0, 1)])
    assert (len(stretches), list(stretches)) == (3, [Place("a", 1, 7), Place("a", 1, 8), Place("b", 0, 0)])


@pytest.mark.parametrize(("sent", "may"), [(0, True), (50, True), (51, False)])
def test_what_every_worker_reads_is_sent_in_step_with_the_slowest_of_the_others(sent: int, may: bool) -> None:
    policies, slow = Sender("policies", 100, sent=sent), Sender("control", 200, sent=100)
    senders = [policies, slow, Sender("requests", 10, sent=9), Sender("decisions", 100)]
    assert is_turn(senders, policies) is may
    assert is_turn(senders, slow)


def test_every_topic_gets_its_share_and_together_no_fewer_than_were_asked_for() -> None:
    found = shares(1_000_000)
    assert 1_000_000 <= sum(found.values()) < 1_000_000 + len(found)
    assert min(found.values()) >= 50_000
