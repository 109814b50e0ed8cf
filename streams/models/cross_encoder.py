"""The cross-encoder verifier: a sentence-transformers model that reads both questions together.

Two kinds of models tell whether questions ask the same: those for duplicates give one logit, and those for entailment
one a label. The libraries are optional (the extra `embed`): they are imported when a model is loaded, not before.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from refrain.streams.errors import WrongSetup
from refrain.streams.models import files
from refrain.streams.models.backends import WINDOW_CHARS_MAX, Backend, choose_backend, failures, load
from refrain.streams.models.files import ModelFolder, ModelSource
from refrain.streams.models.verifier import Pair
from refrain.streams.settings import Verify

Doubles = npt.NDArray[np.float64]

logger = logging.getLogger(__name__)

WINDOW_MAX = 512
"""Tokens of a pair that are read, also by models that could read more: those take longer than a shard waits."""
BATCH = 32
"""Pairs run together; they are sorted by length first, so that a long one pads few others."""
SAME = ("entailment", "duplicate", "paraphrase", "equivalent")
"""Labels that say that both ask the same, by the names that models give them."""
NEEDED = (
    "name a cross encoder for sequence classification with one output (such as cross-encoder/quora-roberta-base), or"
    f" with a label among {', '.join(SAME)} (such as cross-encoder/nli-deberta-v3-base)"
)


class CrossEncoderVerifier:
    """A cross encoder on the CPU. `label` is the output that says `the same`; None: there is one output only.

    A pair that does not fit the model's window as a whole has no score: its ends might differ.
    """

    def __init__(self, model: Any, identity: str, label: int | None, backend: Backend = "torch") -> None:
        self._model = model
        self._failures = failures(backend)
        self._window = min(int(model.max_seq_length or WINDOW_MAX), WINDOW_MAX)
        self._label = label
        self.identity = identity

    def scores(self, pairs: Sequence[Pair]) -> list[float | None]:
        fitting = [pair for pair in pairs if self._fits(pair)]
        found = dict(zip(fitting, self._lower(fitting), strict=True))
        return [found.get(pair) for pair in pairs]

    def _fits(self, pair: Pair) -> bool:
        if sum(map(len, pair)) > WINDOW_CHARS_MAX * self._window:
            return False
        counted = self._model.tokenizer(*pair, truncation=False, return_attention_mask=False, verbose=False)
        return len(counted["input_ids"]) <= self._window

    def _lower(self, pairs: Sequence[Pair]) -> list[float | None]:
        """Score each pair by the lower of both orders: one may follow from the other, and not back."""
        if not pairs:
            return []
        try:
            found = self._run([*pairs, *((other, one) for one, other in pairs)])
        except self._failures as error:
            if len(pairs) == 1:
                # The texts themselves are nobody's business in a log.
                logger.error("a pair has no score (%s): it counts as different", type(error).__name__)
                return [None]
            return [score for pair in pairs for score in self._lower([pair])]
        return [float(score) for score in found.reshape(2, len(pairs)).min(axis=0)]

    def _run(self, pairs: Sequence[Pair]) -> Doubles:
        """Run the model: the probability of each pair (n,), in this order."""
        from torch.nn import Identity

        logits = self._model.predict(list(pairs), batch_size=BATCH, show_progress_bar=False, activation_fn=Identity())
        return probabilities(np.asarray(logits, dtype=np.float64), self._label)


def probabilities(logits: Doubles, label: int | None) -> Doubles:
    """Probabilities (n,) of logits: sigmoid of one a pair (n,), softmax at `label` of (n, labels). NaN stays NaN."""
    if label is None:
        sigmoid: Doubles = 1 / (1 + np.exp(-np.clip(logits.reshape(-1), -700, 700)))
        return sigmoid
    raised = np.exp(logits - logits.max(axis=1, keepdims=True))
    share: Doubles = raised[:, label] / raised.sum(axis=1)
    return share


def load_cross_encoder(settings: Verify, model: str, cache_dir: Path) -> CrossEncoderVerifier:
    """Load the verifier of the settings. Raises WrongSetup when its model is not found or not the expected one."""
    backend, found = find_verifier(settings, model)
    label = _label(found)
    encoder = load("CrossEncoder", found, backend, cache_dir, settings.threads)
    return CrossEncoderVerifier(encoder, f"{found.name}@{found.tag}/{backend}", label, backend)


def find_verifier(settings: Verify, model: str) -> tuple[Backend, ModelFolder]:
    """Find and check the backend and the model's files, without loading them. Raises WrongSetup."""
    backend = choose_backend(settings.backend, "verify", "set verify.backend to words")
    return backend, files.find(ModelSource("verify", model, settings.sha256, settings.allow_download))


def _label(found: ModelFolder) -> int | None:
    """The output of the model that means `the same`. Raises WrongSetup for a model without one."""
    from transformers import AutoConfig

    try:
        config = AutoConfig.from_pretrained(str(found.folder), local_files_only=True)
    except (OSError, ValueError) as error:
        raise WrongSetup(f"{found.folder} has no config.json that can be read: {NEEDED} as verify.model") from error
    # Without this a model for other ends would get an output of random weights.
    if not any(name.endswith("ForSequenceClassification") for name in config.architectures or ()):
        kinds = ", ".join(config.architectures or ()) or "a model without an architecture"
        raise WrongSetup(f"{found.folder} is {kinds}, which scores no pairs: {NEEDED} as verify.model")
    if config.num_labels == 1:
        return None
    names = {number: str(name).lower() for number, name in config.id2label.items()}
    for number, name in names.items():
        if name in SAME:
            return int(number)
    raise WrongSetup(f"{found.folder} has the labels {', '.join(names.values())}: {NEEDED} as verify.model")
