"""The live text of one choice: pieces as the model makes them, then what the whole answer has beyond them."""

from __future__ import annotations

from refrain.schemas.progress import Progress
from refrain.streams.client.reply import NotAnswered
from refrain.streams.errors import RefusalCode


class LiveText:
    """What was heard of the text of a choice. Pieces of another try than the first are passed over."""

    def __init__(self) -> None:
        self._attempt: int | None = None
        self.text = ""

    def take(self, progress: Progress) -> str:
        """The piece of text that this progress brings, empty where it brings none."""
        chunk = progress.chunk
        if chunk is None or self._attempt not in (None, progress.attempt):
            return ""
        self._attempt = progress.attempt
        choices = chunk.get("choices")
        for choice in choices if isinstance(choices, list) else ():
            if isinstance(choice, dict) and choice.get("index", 0) == 0:
                delta = choice.get("delta")
                piece = delta.get("content") if isinstance(delta, dict) else None
                if isinstance(piece, str):
                    self.text += piece
                    return piece
        return ""

    def rest(self, whole: str) -> str:
        """What the whole text has beyond the pieces. Raises NotAnswered where they are not its beginning."""
        if not whole.startswith(self.text):
            text = "the model began another answer than the one that it gave in the end: ask again"
            raise NotAnswered(RefusalCode.UPSTREAM.value, text)
        return whole[len(self.text) :]
