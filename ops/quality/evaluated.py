"""Evaluation of files of pairs: the stages of each file, and what is told of one file or of several."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from refrain.ops.data.vectors import Compared
from refrain.ops.quality import heads, pair_files, pooled, report, stages
from refrain.ops.quality.options import bar
from refrain.ops.quality.pair_files import PairsFile
from refrain.ops.quality.plot import Curve
from refrain.ops.quality.precision import Labelled, curve
from refrain.ops.quality.stages import Mask, Stages, ThresholdVerifier
from refrain.streams.errors import BadInput
from refrain.streams.guards import GuardTerms
from refrain.streams.models.embedder import Embedder
from refrain.streams.models.hit_head import PairHead


class Terms(NamedTuple):
    """Terms of an evaluation: what embeds, and what each stage decides by."""

    embedder: Embedder
    cache: Path | None
    guards: GuardTerms
    verifier: ThresholdVerifier | None
    head: PairHead | None = None

    def to_json(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "embedder": self.embedder.identity,
            "guards": [str(guard) for guard in self.guards.guards],
            "guards_behaviour": stages.behaviour() if self.guards.guards else None,
            "strictness": self.guards.strictness,
            "veto": [str(guard) for guard in self.guards.veto],
            "unverified": self.guards.unverified,
            "verifier": stages.describe_verifier(self.verifier),
            "head": None if self.head is None else self.head.version,
        }


class EvaluatedFile(NamedTuple):
    """A file, its pairs and their stages, and its report."""

    file: PairsFile
    compared: Compared
    staged: Stages
    told: dict[str, Any]

    def stages(self) -> dict[str, Labelled]:
        """The pairs of each stage as numbers."""
        return {name: report.labelled(self.compared, scores) for name, scores in self.staged.scores.items()}


def evaluate(found: pair_files.Read, terms: Terms) -> EvaluatedFile:
    """Evaluate the pairs of a file. Raises BadInput, naming the file, when none has vectors or `by` does not fit."""
    compared = pair_files.compare(found, terms.embedder, terms.cache)
    groups = _groups(found.file, compared)
    head = weights_of_head(compared, found.file.name, terms.head, terms.embedder)
    with bar(f"verifying {found.file.name}") as progress:
        staged = stages.stages(compared, terms.guards, terms.verifier, progress, head)
    about = {"file": str(found.file.path), **terms.to_json()}
    return EvaluatedFile(
        found.file, compared, staged, report.report(compared, staged, sorted(found.bad), about, groups)
    )


def weights_of_head(
    compared: Compared, name: str, head: PairHead | None, embedder: Embedder
) -> heads.HeadWeights | None:
    """What a head takes off the pairs of a file, with a progress bar; None without a head."""
    if head is None:
        return None
    with bar(f"embedding tokens of {name}") as progress:
        return heads.head_weights(compared.pairs, head, embedder, progress)


def to_json(made: Sequence[EvaluatedFile]) -> dict[str, Any]:
    """Report of one file, or of several with the pooled figures, for JSON."""
    if len(made) == 1:
        return made[0].told
    by_stage = {name: {each.file.name: each.stages()[name] for each in made} for name in made[0].staged.scores}
    return {
        "files": [{"name": each.file.name, **each.told} for each in made],
        "pooled": pooled.pooled_figures(by_stage),
    }


def curves(made: Sequence[EvaluatedFile]) -> dict[str, Curve]:
    """Precision-recall curves: of one file one a stage, of several one a file and the pooled one, of the last stage."""
    if len(made) == 1:
        return {stages.NAMES[name]: curve(each) for name, each in made[0].stages().items()}
    last = _last_stage(made)
    pool = pooled.pools(last)[pooled.EACH_FILE]
    return {name: curve(each) for name, each in last.items()} | {"all, each file alike": pooled.curve_of(pool)}


def title(made: Sequence[EvaluatedFile], embedder: str) -> str:
    """Title of the plot."""
    if len(made) == 1:
        return f"{made[0].file.name}, {embedder}"
    return f"{stages.NAMES[list(made[0].staged.scores)[-1]]}, {embedder}"


def wrongly_served(made: Sequence[EvaluatedFile]) -> Iterator[Iterator[dict[str, Any]]]:
    """Of each file the pairs of label 0 that the last stage lets through; of several files with the file."""
    for each in made:
        found = report.wrongly_served(each.compared, each.staged)
        named = {} if len(made) == 1 else {"file": str(each.file.path)}
        yield ({**named, **line} for line in found)


def _last_stage(made: Sequence[EvaluatedFile]) -> Mapping[str, Labelled]:
    return {each.file.name: list(each.stages().values())[-1] for each in made}


def _groups(file: PairsFile, compared: Compared) -> dict[str, Mask]:
    if file.by is None:
        return {}
    try:
        return report.groups_by(compared.pairs, file.by)
    except BadInput as error:
        raise BadInput(f"{file.path}: {error}") from error
