"""A policy file names a trained head by its file or, when it is in force, by its version."""

from __future__ import annotations

from pathlib import Path

import pytest

from refrain.ops.policies.diff import changes
from refrain.ops.policies.file import read_policy, write_policy
from refrain.schemas.policy import Policy
from refrain.streams.errors import BadInput
from refrain.streams.models.hit_head_artifact import HEAD_FILES
from tests.streams.models.made_hit_heads import strict_head

HEAD, OTHER = strict_head(1_000), strict_head(2_000)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with an artefact in it."""
    (tmp_path / "heads").mkdir()
    (tmp_path / "heads" / "code.json").write_bytes(HEAD_FILES.encode(HEAD))
    return tmp_path


def text(head: str, **more: str) -> str:
    said = "".join(f", {key}: {value}" for key, value in more.items())
    return f"categories:\n  plain: {{}}\n  code: {{hit_head: {head}{said}}}\n"


def mistakes(given: str, folder: Path) -> str:
    with pytest.raises(BadInput) as caught:
        read_policy(given, str(folder / "p.yaml"))
    return str(caught.value).replace(str(folder), "")


def test_a_file_is_sought_beside_the_policy_and_travels_with_it(folder: Path) -> None:
    policy = read_policy(text("heads/code.json"), str(folder / "p.yaml"))
    assert policy.categories["code"].hit_head == HEAD.version
    assert policy.hit_heads == (HEAD,)
    assert policy.head_of(policy.categories["code"]) == HEAD
    assert policy.head_of(policy.categories["plain"]) is None


def test_what_is_shown_of_a_policy_names_versions_and_reads_back_where_they_are_in_force(folder: Path) -> None:
    policy = read_policy(text("heads/code.json"), str(folder / "p.yaml"))
    shown = write_policy(policy)
    assert HEAD.version in shown
    assert HEAD.projection not in shown
    assert read_policy(shown, "again", policy.hit_heads) == policy


def test_a_head_that_no_category_names_is_not_carried_on(folder: Path) -> None:
    policy = read_policy(text(HEAD.version), "p.yaml", (OTHER, HEAD))
    assert policy.hit_heads == (HEAD,)


@pytest.mark.parametrize(
    ("head", "said"),
    [
        ("heads/none.json", "cannot be read"),
        ("p.yaml", "is not a head of the hit rule"),
        (OTHER.version, "is no version of a head in force"),
        ("heads", "cannot be read"),
    ],
)
def test_a_head_that_is_not_there_is_named_at_its_line_once(folder: Path, head: str, said: str) -> None:
    (folder / "p.yaml").write_text(text(head))
    lines = mistakes(text(head), folder).splitlines()
    assert len(lines) == 2
    assert lines[1].strip().startswith("/p.yaml:3: categories.code.hit_head: ")
    assert said in lines[1]


def test_a_damaged_head_is_refused(folder: Path) -> None:
    (folder / "heads" / "code.json").write_bytes(HEAD_FILES.encode(HEAD).replace(b'"cap": 500000', b'"cap": 400000'))
    assert "is damaged" in mistakes(text("heads/code.json"), folder)


def test_a_head_without_guards_is_refused(folder: Path) -> None:
    assert "needs guards" in mistakes(text("heads/code.json", guards="[]"), folder)


@pytest.mark.parametrize(
    "given", ["categories: {code: {hit_head: 7}}", "categories: {code: 3}", "categories: [a]", "7"]
)
def test_what_is_no_policy_is_told_as_without_heads(given: str, folder: Path) -> None:
    assert "p.yaml:1: " in mistakes(given, folder)


def test_another_head_is_a_change_of_its_category(folder: Path) -> None:
    policy = read_policy(text("heads/code.json"), str(folder / "p.yaml"))
    before = Policy(categories={"plain": policy.categories["plain"], "code": policy.categories["plain"]})
    assert changes(before, policy) == [f'~ categories.code.hit_head: null -> "{HEAD.version}"']
