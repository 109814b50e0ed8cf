"""Checks of `refrain doctor` that need no cluster, and how checks run.

Each gives findings: a name, ok, warn or fail, what was seen, what to do.
"""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from refrain.ops.observe.findings import Finding
from refrain.ops.run.logs import error_line
from refrain.ops.terminal import output
from refrain.streams.errors import RefrainError

if TYPE_CHECKING:
    from refrain.ops.observe.deadline import Deadline
    from refrain.streams.settings import Settings

FREE_BYTES_WARN = 5_000_000_000
FREE_BYTES_FAIL = 500_000_000
LOAD_WARN = 2.0
"""By processor: so many that run or wait to, in the last minute."""
PROBE_S = 2.0


def together(
    looks: Mapping[str, Callable[[], list[Finding]]], deadline: Deadline, late: Callable[[str], Finding]
) -> list[Finding]:
    """Run checks at the same time; what each finds, in their order. One that is not done by the deadline is `late`.

    It goes on without anyone to hear it: a question to a cluster that is away cannot be taken back.
    """
    found: dict[str, list[Finding]] = {}
    done = {name: threading.Event() for name in looks}
    for name, look in looks.items():
        work = partial(_keep, found, done[name], name, look)
        threading.Thread(target=work, name=f"check {name}", daemon=True).start()
    return [each for name in looks for each in (found[name] if deadline.sees(done[name]) else [late(name)])]


def _keep(found: dict[str, list[Finding]], done: threading.Event, name: str, look: Callable[[], list[Finding]]) -> None:
    try:
        found[name] = guarded(name, look)
    except Exception as error:  # noqa: BLE001 - a check that fails for a reason of its own costs none of the others
        found[name] = [Finding(name, "fail", f"not known: {error_line(error)}", "this is a fault of the doctor's own")]
    done.set()


def guarded(check: str, look: Callable[[], list[Finding]]) -> list[Finding]:
    """Run a check; one that cannot be carried out is a finding itself."""
    try:
        return look()
    except RefrainError as error:
        return [Finding(check, "fail", str(error))]


def model(settings: Settings) -> list[Finding]:
    """Is the embedding model here, and is it the expected one? Loads nothing."""
    if settings.embedding.backend == "free":
        return [Finding("model", "warn", "the free embedder: it compares words, not meaning",
                     "for real traffic set embedding.backend to auto")]  # fmt: skip
    if settings.embedding.backend == "http":
        return _endpoint(settings)
    from refrain.streams.models.loading import find_model

    found = find_model(settings.embedding)
    what = f"{settings.embedding.model} by {found.backend}, sha256 {found.sha256[:12]}…, {found.place}"
    return [Finding("model", "ok", what)]


def _endpoint(settings: Settings) -> list[Finding]:
    """Does the embeddings endpoint answer with what the settings say?"""
    from refrain.streams.models.http_embedder import HttpEmbedder

    with closing(HttpEmbedder(settings.embedding.model_copy(update={"retries": 0}))) as embedder:
        embedder.embed(["Is the endpoint there?"])
        return [Finding("model", "ok", f"{embedder.identity}, {embedder.dim} dimensions, answers")]


def verifier(settings: Settings) -> list[Finding]:
    """Is the model of second opinions here, when one is named? Loads nothing."""
    if settings.verify.backend == "words":
        return [Finding("verifier", "warn", "second opinions compare words, not meaning",
                     "for real traffic set verify.backend to auto and verify.model")]  # fmt: skip
    if settings.verify.model is None:
        return [Finding("verifier", "ok", "none: categories with `verify` serve equal texts only")]
    from refrain.streams.models.cross_encoder import find_verifier

    offline = settings.verify.model_copy(update={"allow_download": False})
    backend, found = find_verifier(offline, settings.verify.model)
    return [Finding("verifier", "ok", f"{settings.verify.model} by {backend}, sha256 {found.tag}…, {found.folder}")]


def categories(settings: Settings) -> list[Finding]:
    """Can the artefact of categories be read? Whether it fits the embedder is told by classify when it starts."""
    path = settings.classify.categories
    if path is None:
        return [Finding("categories", "ok", "no classifier is set: the nearest examples of the policy tell categories")]
    from refrain.streams.models.category_artifact import CATEGORY_FILES

    found = CATEGORY_FILES.read(path)
    what = (
        f"{path}: version {found.version}, {len(found.categories)} categories, trained on vectors of {found.embedder}"
    )
    return [Finding("categories", "ok", what)]


def disk(settings: Settings) -> list[Finding]:
    """Is there room for the stores?"""
    place = settings.state_dir.absolute()
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free
    seen = (
        f"{output.size(free)} free, stores take {output.size(_used_bytes(settings.state_dir))} in {settings.state_dir}"
    )
    if free < FREE_BYTES_FAIL:
        return [Finding("disk", "fail", seen, "make room, or set state_dir to another disk")]
    if free < FREE_BYTES_WARN:
        return [Finding("disk", "warn", seen, "make room soon, or set state_dir to another disk")]
    return [Finding("disk", "ok", seen)]


def machine(_: Settings, load: Callable[[], tuple[float, ...]] = os.getloadavg) -> list[Finding]:
    """Has this machine more to do than it can? Then what does not answer in time may only be slow."""
    waiting, processors = load()[0], os.cpu_count() or 1
    seen = f"load {waiting:.1f} on {output.counted(processors, 'processor')}"
    if waiting <= LOAD_WARN * processors:
        return [Finding("machine", "ok", seen)]
    do = "what does not answer in time may only be slow: see what else runs here, or look from another machine"
    return [Finding("machine", "warn", seen, do)]


def files(settings: Settings) -> list[Finding]:
    """May the owner alone read what workers write?"""
    from refrain.streams.store.private import exposed

    found = exposed(settings.state_dir)
    if found is None:
        return [Finding("files", "ok", f"nobody else may read what is in {settings.state_dir}")]
    do = f"stop the workers, run `chmod -R go-rwx {settings.state_dir}`, and start them again"
    return [Finding("files", "warn", f"other users of this machine may read {found}", do)]


def _used_bytes(folder: Path) -> int:
    return sum(size for size in _sizes(folder))


def _sizes(folder: Path) -> Iterator[int]:
    for path in folder.rglob("*"):
        try:
            yield path.stat().st_size if path.is_file() else 0
        except FileNotFoundError:
            # Stores drop files while they are looked at.
            continue
