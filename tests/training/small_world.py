"""A data set of the tests' own text and a tiny BERT, small enough to fine-tune within a test."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

from modq_training.recipe import Mix, Recipe

KIND = ("lovely", "bright", "gentle", "clever")
CRUEL = ("worthless", "pathetic", "filthy", "stupid")
SUBJECTS = ("my neighbour", "that driver", "your cousin", "the new player", "our teacher", "this team", "her brother", "the cook")
PLACES = ("today", "as always", "in the garden", "at the match", "on sunday", "once more")


def small_recipe(**changes: object) -> Recipe:
    """A recipe that learns the small world in seconds."""
    fields: dict[str, object] = {
        "name": "small",
        "base": "tests/tiny-bert",
        "revision": "0" * 40,
        "mix": Mix(rows=400, toxic_share=0.5),
        "rank": 8,
        "alpha": 16,
        "dropout": 0.1,
        "target_modules": ("query", "value"),
        "learning_rate": 1e-2,
        "batch_rows": 8,
        "batch_tokens": 128,
        "max_tokens": 32,
        "epochs": 2,
        "validation_share": 0.2,
    }
    return Recipe(**(fields | changes))  # type: ignore[arg-type]


CONSTITUTION = "".join(
    f"""## {title}
- id: `{id}`
- severity: `{severity}`
### What breaks it
- Being {id}.
### What barely does not
- Being nearly {id}.
### Examples that break it
None, on purpose.
### Examples that barely do not
None, on purpose.
"""
    for id, severity, title in (("filth", "high", "No filth"), ("unheard_of", "critical", "Nothing unheard of"), ("mockery", "low", "No mockery"))
)
BROKEN = {"filthy": ["filth"], "worthless": ["filth"], "pathetic": ["mockery"], "stupid": ["mockery"]}
"""The rules of that constitution that a text with the word breaks."""


def write_rows(path: Path, *, subjects: tuple[str, ...] = SUBJECTS, rules: bool = False) -> Path:
    """JSON lines, half safe and half toxic; only the adjective tells which, and which rules they break."""
    rows = [
        {"text": f"{subject} is {word} {place}", "label": label, "source": path.stem} | ({"rules": BROKEN.get(word, [])} if rules else {})
        for label, words in ((0, KIND), (1, CRUEL))
        for subject, word, place in itertools.product(subjects, words, PLACES)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def write_tiny_bert(folder: Path) -> Path:
    """A randomly initialised BERT with a vocabulary of the small world's words, as a backbone folder."""
    import torch
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    words = sorted({word for phrase in (*SUBJECTS, *KIND, *CRUEL, *PLACES, "is") for word in phrase.split()})
    vocabulary = {token: number for number, token in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", *words])}
    backend = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    backend.normalizer = normalizers.Lowercase()
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    backend.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)])
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]")
    torch.manual_seed(0)
    config = BertConfig(vocab_size=len(vocabulary), hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64, max_position_embeddings=64)
    BertModel(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
