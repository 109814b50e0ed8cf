"""What `refrain doctor` sees without a broker."""

from __future__ import annotations

from pathlib import Path

import pytest

from refrain.ops.observe.doctor_checks import guarded, verifier
from refrain.streams.settings import Settings, Verify


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
