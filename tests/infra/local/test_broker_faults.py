"""What the faults of brokers are judged by, and how they are told."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from infra.local.broker_faults import Answers, FaultResult, question, table_of
from infra.local.fault_kinds import CLOCK, FAULTS, NOTHING, clock_variables
from refrain.ops.ask.questions import answer_of

GOOD = FaultResult(
    fault="two away for 30 s", nobody_answers=True, asked=10, answered=10, wrong=0, repeats=1, undecided=0,
    first_answer_s=2.5, silent_s=33.0, slowest_s=34.0, told={}, allowed=(), may_end=False, ended={},
    core_share={"lookup": 0.01}, doctor_s=3.0, doctor="broker warn",
)  # fmt: skip


def test_a_run_in_which_all_is_well_breaks_nothing() -> None:
    assert GOOD.broken() == []


def test_every_promise_is_looked_at() -> None:
    assert "1 unanswered" in replace(GOOD, answered=9, told={"deadline_exceeded": 1}).broken()[0]
    assert "2 wrong" in replace(GOOD, wrong=2).broken()[0]
    assert "by -1" in replace(GOOD, undecided=-1).broken()[0]
    assert "adapt" in replace(GOOD, ended={"adapt": 1}).broken()[0]
    assert "11.0 s" in replace(GOOD, doctor_s=11.0).broken()[0]
    assert "lookup" in replace(GOOD, core_share={"lookup": 0.2}).broken()[0]
    assert replace(GOOD, core_share={"lookup": 0.2}, nobody_answers=False).broken() == []


def test_what_a_fault_allows_breaks_nothing() -> None:
    late = replace(GOOD, answered=9, told={"deadline_exceeded": 1}, allowed=("deadline_exceeded",))
    assert late.broken() == []
    lost = replace(GOOD, answered=8, told={NOTHING: 2}, allowed=(NOTHING,), undecided=-2)
    assert lost.broken() == []
    assert "by -3" in replace(lost, undecided=-3).broken()[0]
    assert "by 1" in replace(lost, undecided=1).broken()[0]
    assert replace(GOOD, ended={"classify": 1}, may_end=True).broken() == []


def test_silence_and_the_first_answer_are_told_from_the_moments_of_answers() -> None:
    found = Answers(at_s=[1.0, 2.0, 30.0, 30.5])
    assert found.longest_silence_s() == 28.0
    assert found.first_after(25.0) == 5.0
    assert found.first_after(31.0) is None
    assert Answers().longest_silence_s() == 0.0


def test_only_faults_that_leave_too_few_brokers_silence_the_cluster() -> None:
    silent = {fault.name for fault in FAULTS if fault.nobody_answers}
    assert silent == {"two away for 30 s", "all frozen for 30 s"}


def test_a_question_names_its_article() -> None:
    body = question(7).body
    assert body["messages"][0]["content"] == "What does the handbook say in article 7?"
    assert answer_of({"choices": [{"message": {"content": "in article 7?"}}]}).endswith("article 7?")


def test_the_table_has_a_row_a_fault() -> None:
    console = Console(width=220, record=True)
    console.print(table_of([GOOD, replace(GOOD, fault="one killed", ended={"adapt": 2}, first_answer_s=None)]))
    text = console.export_text()
    assert "10 of 10" in text
    assert "adapt 2" in text
    assert "1.0% (lookup)" in text


def test_a_process_takes_its_time_of_day_from_the_file_of_its_clock(tmp_path: Path) -> None:
    environment = {**os.environ, **clock_variables(tmp_path)}
    code = "import time; print(time.time_ns() // 10**9, int(time.time()), time.monotonic())"

    def asked() -> list[float]:
        done = subprocess.run([sys.executable, "-P", "-c", code], env=environment, capture_output=True, check=True)
        return [float(each) for each in done.stdout.split()]

    before = asked()
    (tmp_path / CLOCK).write_text("-3600")
    back = asked()
    assert before[0] - 3_700 < back[0] < before[0] - 3_400
    assert abs(back[0] - back[1]) <= 1
    assert back[2] >= before[2]
