"""From a text to the windows of token ids that the model reads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from modq_worker.adapter import AdapterRefused
from modq_worker.text import windows

Window = tuple[int, ...]
"""Token ids as the model reads them, special tokens included."""


@dataclass(frozen=True, slots=True)
class Reading:
    """One reading of a text, tokenised."""

    windows: tuple[Window, ...]
    """At most ``max_length`` tokens each; one window at least."""
    truncated: bool


class Tokens:
    """Tokenises texts as a transformers tokenizer would, except that no text can write a control token."""

    def __init__(self, tokenizer: Any, *, max_length: int, max_windows: int) -> None:
        if not getattr(tokenizer, "is_fast", False):
            raise AdapterRefused("The adapter's tokenizer is of the slow kind, for which modq has no use.")
        # First: a call of the tokenizer sets its backend's switches back.
        self._prefix, self._suffix = _special_tokens_around(tokenizer)
        self.knows_emoji = knows_emoji(tokenizer)
        self._backend = tokenizer.backend_tokenizer
        self._backend.no_truncation()
        self._backend.no_padding()
        # What looks like a control token in a post ("<bos>", "[CLS]") is text: whoever writes a post must not steer the model.
        self._backend.encode_special_tokens = True
        special = {int(number) for number, token in self._backend.get_added_tokens_decoder().items() if token.special}
        self._control = (special | set(tokenizer.all_special_ids)) - {tokenizer.unk_token_id}
        self.pad: int = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id or 0
        self._room = max_length - len(self._prefix) - len(self._suffix)
        self._stride = max_length * 3 // 4
        self._max_windows = max_windows

    def read(self, texts: Sequence[str]) -> list[Reading]:
        """The windows of each text, in order."""
        encodings = self._backend.encode_batch_fast(list(texts), add_special_tokens=False)
        return [self._windows([token for token in encoding.ids if token not in self._control]) for encoding in encodings]

    def _windows(self, ids: list[int]) -> Reading:
        cover = windows(len(ids), size=self._room, stride=self._stride, most=self._max_windows)
        framed = ((*self._prefix, *ids[part], *self._suffix) or (self.pad,) for part in cover.parts)
        return Reading(tuple(framed), cover.truncated)


def knows_emoji(tokenizer: Any) -> bool:
    """Whether the tokenizer tells one emoji from another; BERT's vocabulary has none."""
    return tokenizer.unk_token_id not in tokenizer("\U0001f602")["input_ids"]


def _special_tokens_around(tokenizer: Any) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The ids that the tokenizer puts before and after a text, such as ``[CLS]`` and ``[SEP]``, or ``<bos>``."""
    probe = tokenizer("a", return_special_tokens_mask=True)
    ids, special = probe["input_ids"], probe["special_tokens_mask"]
    text = [position for position, is_special in enumerate(special) if not is_special]
    return tuple(ids[: text[0]]), tuple(ids[text[-1] + 1 :])
