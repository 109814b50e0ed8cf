"""What `infra/setup.sh` makes of pip's settings: uv installs from where pip would, or pip does; bytecode is kept."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

SETUP = Path(__file__).resolve().parents[2] / "infra/setup.sh"
HANDED_ON = ("SSL_CERT_FILE", "UV_HTTP_TIMEOUT", "UV_FIND_LINKS")


def told(settings: list[str], root: Path, **environment: str) -> tuple[bool, dict[str, str]]:
    """Whether uv may install where `pip config list` prints these lines, and what is handed on to it."""
    python = root / ".venv/bin/python"
    python.parent.mkdir(parents=True)
    (root / "settings").write_text("".join(f"{line}\n" for line in settings))
    python.write_text(f"#!/bin/sh\n[ \"$*\" = '-m pip config list' ] && exec cat '{root}/settings'\nexit 9\n")
    python.chmod(0o755)
    shown = "; ".join(f'echo "{name}=${{{name}-}}"' for name in HANDED_ON)
    script = f"set -eu; root='{root}'; . '{SETUP}'; uv_follows_pip && echo follows || echo not; {shown}"
    asked = {"PATH": "/usr/local/bin:/usr/bin:/bin", **environment}
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True, env=asked)
    answer, *lines = done.stdout.splitlines()
    return answer == "follows", dict(line.split("=", 1) for line in lines if not line.endswith("="))


@pytest.mark.parametrize(
    ("settings", "handed_on"),
    [
        ([], {}),
        (
            [":env:.no-input='1'", "global.cache-dir='/tmp/pip'", "global.break-system-packages='1'"],
            {},
        ),
        (["global.cert='/etc/ca.pem'"], {"SSL_CERT_FILE": "/etc/ca.pem"}),
        ([":env:.cert='/mine.pem'", "global.cert='/etc/ca.pem'"], {"SSL_CERT_FILE": "/mine.pem"}),
        ([":env:.default-timeout='180'"], {"UV_HTTP_TIMEOUT": "180"}),
        (["global.timeout='60'"], {"UV_HTTP_TIMEOUT": "60"}),
        (["install.find-links='/opt/wheels'"], {"UV_FIND_LINKS": "/opt/wheels"}),
        ([":env:.find-links='/a /b'"], {"UV_FIND_LINKS": "/a,/b"}),
        ([r"global.find-links='/a\n/b'"], {"UV_FIND_LINKS": "/a,/b"}),
    ],
    ids=str,
)
def test_what_uv_has_a_name_for_is_handed_on(settings: list[str], handed_on: dict[str, str], tmp_path: Path) -> None:
    assert told(settings, tmp_path) == (True, handed_on)


def test_what_is_set_for_uv_wins(tmp_path: Path) -> None:
    settings = ["global.cert='/etc/ca.pem'", "global.timeout='60'"]
    found = told(settings, tmp_path, SSL_CERT_FILE="/mine.pem", UV_HTTP_TIMEOUT="9")
    assert found == (True, {"SSL_CERT_FILE": "/mine.pem", "UV_HTTP_TIMEOUT": "9"})


@pytest.mark.parametrize(
    "setting",
    [
        "global.index-url='https://packages.example/simple'",
        ":env:.index-url='https://packages.example/simple'",
        "install.extra-index-url='https://packages.example/simple'",
        "global.no-index='1'",
        "global.proxy='http://proxy.example:3128'",
        "global.trusted-host='packages.example'",
        "global.client-cert='/mine.pem'",
        ":env:.constraint='/mine.txt'",
        "global.only-binary=':all:'",
        "global.require-hashes='1'",
        "global.of-a-later-pip='x'",
    ],
)
def test_where_pip_is_told_what_uv_would_not_know_pip_installs(setting: str, tmp_path: Path) -> None:
    follows, _ = told(["global.timeout='60'", setting], tmp_path)
    assert not follows


def test_what_one_process_compiles_the_next_need_not_whatever_python_is_told(tmp_path: Path) -> None:
    (tmp_path / "imported.py").write_text("")
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONPYCACHEPREFIX"}
    script = f"set -eu; root='{tmp_path}'; . '{SETUP}'; cd '{tmp_path}'; '{sys.executable}' -c 'import imported'"
    subprocess.run(["bash", "-c", script], check=True, env={**kept, "PYTHONDONTWRITEBYTECODE": "1"})
    assert len([*tmp_path.glob("__pycache__/imported.*.pyc")]) == 1
