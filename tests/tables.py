"""Tables of cases that tests read from YAML."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

# libyaml, where PyYAML has it, reads the large ones in an eighth of the time: every pytest worker reads all of them.
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def table(path: Path) -> Any:
    """What a file holds."""
    return yaml.load(path.read_bytes(), _LOADER)
