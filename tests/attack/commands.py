"""Commands of operators, on the target."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys

from tests.attack.target import Target

COMMAND_S = 90.0
REFRAIN = [sys.executable, "-c", "import sys; from refrain.ops.cli import main; sys.exit(main(sys.argv[1:]))"]


def refrain(target: Target, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    settings = target.settings
    connection = {name: value.get_secret_value() for name, value in settings.connection.items()}
    environment = {
        **{name: value for name, value in os.environ.items() if not re.match("REFRAIN_(CONNECTION|CONFIG)", name)},
        "REFRAIN_KAFKA": settings.kafka,
        "REFRAIN_PREFIX": settings.prefix,
        "REFRAIN_STATE_DIR": str(settings.state_dir),
        "REFRAIN_CONNECTION": json.dumps(connection),
    }
    command = [*REFRAIN, *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=COMMAND_S, check=False)
