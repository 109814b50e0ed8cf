"""What `refrain doctor` sees without a broker."""

from __future__ import annotations

from pathlib import Path

import pytest

from refrain.ops.observe.doctor_checks import files, guarded, machine, model, verifier
from refrain.streams.settings import Embedding, Settings, Verify


@pytest.mark.parametrize(
    ("wanted", "state", "said"),
    [
        (Verify(), "ok", "categories with `verify` serve equal texts only"),
        (Verify(backend="words"), "warn", "compare words"),
        (Verify(model="nobody/nothing", allow_download=True), "fail", "verify."),
    ],
)
def test_the_doctor_looks_for_the_model_of_second_opinions(
    tmp_path: Path, wanted: Verify, state: str, said: str
) -> None:
    settings = Settings(state_dir=tmp_path, verify=wanted)
    (seen,) = guarded("verifier", lambda: verifier(settings))
    assert (seen.check, seen.state) == ("verifier", state)
    assert said in seen.seen


def test_the_doctor_asks_the_embeddings_endpoint() -> None:
    nobody = Embedding(backend="http", url="http://127.0.0.1:1/v1", identity="small@1", dimensions=3)
    (gone,) = guarded("model", lambda: model(Settings(embedding=nobody)))
    assert (gone.check, gone.state) == ("model", "fail")
    assert "cannot be reached" in gone.seen
    (unset,) = guarded("model", lambda: model(Settings(embedding=Embedding(backend="http"))))
    assert "embedding.identity" in unset.seen


def test_the_doctor_says_where_what_is_late_may_only_be_slow() -> None:
    (calm,) = machine(Settings(), lambda: (0.1, 99.0, 99.0))
    assert (calm.state, calm.do) == ("ok", "")
    (busy,) = machine(Settings(), lambda: (100_000.0, 0.0, 0.0))
    assert busy.state == "warn"
    assert "load 100000.0" in busy.seen
    assert "may only be slow" in busy.do


def test_the_doctor_tells_what_others_may_read(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    settings = Settings(state_dir=tmp_path)
    (empty,) = guarded("files", lambda: files(settings))
    assert empty.state == "ok"
    (tmp_path / "open").write_text("x")
    (tmp_path / "open").chmod(0o644)
    (seen,) = guarded("files", lambda: files(settings))
    assert (seen.state, str(tmp_path / "open") in seen.seen, "chmod" in seen.do) == ("warn", True, True)
