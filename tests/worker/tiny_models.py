"""Tiny base models of real architectures, random but always the same, and LoRA adapters on them as PEFT saves them."""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel, TaskType, get_peft_model
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    BertConfig,
    BertForSequenceClassification,
    Gemma2Config,
    Gemma2ForSequenceClassification,
    Gemma3TextConfig,
    Gemma3TextForSequenceClassification,
    GemmaConfig,
    GemmaForSequenceClassification,
    LlamaConfig,
    LlamaForSequenceClassification,
    PretrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)

from modq.cli import main

REVISION = "0123456789abcdef0123456789abcdef01234567"
WORDS = [f"{a}{b}{c}" for a in ("ka", "lo", "mi", "su", "te") for b in ("ra", "ne", "", "po") for c in ("n", "sh", "l", "", "k")]
_CHARACTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789<>[]_/.,!?' "


@dataclass(frozen=True)
class Tiny:
    """A base model and an adapter on it, both on disk."""

    base: Path
    adapter: Path

    def pin(self, *more: str) -> Tiny:
        """Import the adapter as an operator would."""
        words = ["adapters", "import", str(self.adapter), "--base", "tiny/model", "--revision", REVISION, "--base-folder", str(self.base)]
        assert main([*words, *more]) == 0
        return self

    def recipe(self) -> tuple[Any, Any]:
        """Model and tokenizer by the published card's own recipe: not merged, padded by the tokenizer, float32."""
        tokenizer = AutoTokenizer.from_pretrained(self.adapter)
        model = AutoModelForSequenceClassification.from_pretrained(self.base, num_labels=2, dtype=torch.float32)
        model.config.pad_token_id = tokenizer.pad_token_id
        return PeftModel.from_pretrained(model, self.adapter).eval(), tokenizer


def card_scores(tiny: Tiny, texts: list[str]) -> list[float]:
    """What the published card's recipe says of ``texts``, in one batch."""
    model, tokenizer = tiny.recipe()
    batch = tokenizer(texts, padding=True, truncation=True, max_length=256, return_tensors="pt")
    with torch.inference_mode():
        return model(**batch).logits.softmax(-1)[:, 1].tolist()


def some_text(words: int, seed: int) -> str:
    """Plain text of so many words."""
    chance = random.Random(seed)
    return " ".join(chance.choice(WORDS) for _ in range(words))


def make_gemma(folder: Path) -> Tiny:
    """Gemma in all but size: eight query heads, one key-value head, its control tokens, padding on the left."""
    return _make_decoder(folder, GemmaConfig, GemmaForSequenceClassification, num_key_value_heads=1)


def make_gemma2(folder: Path) -> Tiny:
    """Gemma 2 in all but size: it caps what attention makes of two tokens, as none of the others does."""
    return _make_decoder(
        folder,
        Gemma2Config,
        Gemma2ForSequenceClassification,
        num_key_value_heads=4,
        query_pre_attn_scalar=16,
        attn_logit_softcapping=0.2,
        attn_implementation="eager",
    )


def make_gemma3(folder: Path) -> Tiny:
    """Gemma 3 in all but size, with a sliding window that is shorter than most texts."""
    layers = ["sliding_attention", "full_attention", "sliding_attention"]
    return _make_decoder(
        folder,
        Gemma3TextConfig,
        Gemma3TextForSequenceClassification,
        num_key_value_heads=1,
        num_hidden_layers=3,
        query_pre_attn_scalar=16,
        sliding_window=8,
        layer_types=layers,
    )


def make_llama(folder: Path) -> Tiny:
    """Llama in all but size: four query heads to a key-value head."""
    return _make_decoder(folder, LlamaConfig, LlamaForSequenceClassification, num_key_value_heads=2)


def _make_decoder(folder: Path, config: type[PretrainedConfig], model: type[PreTrainedModel], **more: Any) -> Tiny:
    torch.manual_seed(7)
    tokenizer = _gemma_tokenizer()
    sizes = {
        "vocab_size": len(tokenizer),
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "initializer_range": 0.1,
        "num_attention_heads": 8,
        "head_dim": 16,
        "num_labels": 2,
        "pad_token_id": tokenizer.pad_token_id,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
    }
    return _save(folder, model(config(**sizes | more)), tokenizer, ["q_proj", "k_proj", "v_proj", "o_proj"])


def make_bert(folder: Path) -> Tiny:
    """BERT in all but size."""
    torch.manual_seed(8)
    tokenizer = _bert_tokenizer()
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        initializer_range=0.2,
        num_labels=2,
        pad_token_id=tokenizer.pad_token_id,
    )
    return _save(folder, BertForSequenceClassification(config), tokenizer, ["query", "key", "value", "attention.output.dense"])


def add_random_lora(model: Any, targets: list[str], folder: Path, head: float = 1.0) -> None:
    """Save an adapter on ``model`` that changes its answers much, with a head that tells texts apart, the more so the larger ``head``."""
    config = LoraConfig(task_type=TaskType.SEQ_CLS, r=16, lora_alpha=32, lora_dropout=0.1, target_modules=targets, init_lora_weights=False)
    adapted = get_peft_model(model, config)
    with torch.no_grad():
        for name, parameter in adapted.named_parameters():
            if "modules_to_save" in name and name.endswith("weight"):
                parameter.normal_(std=head)
    adapted.save_pretrained(folder)


def _save(folder: Path, model: Any, tokenizer: Any, targets: list[str]) -> Tiny:
    tiny = Tiny(folder / "base", folder / "adapter")
    model.base_model.save_pretrained(tiny.base)
    tokenizer.save_pretrained(tiny.base)
    fresh = AutoModelForSequenceClassification.from_pretrained(tiny.base, num_labels=2)
    add_random_lora(fresh, targets, tiny.adapter, head=0.15)
    tokenizer.save_pretrained(tiny.adapter)
    return tiny


def _gemma_tokenizer() -> PreTrainedTokenizerFast:
    backend = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=False))
    backend.normalizer = normalizers.Replace(" ", "▁")
    special = ["<pad>", "<eos>", "<bos>", "<unk>", "<start_of_turn>", "<end_of_turn>"]
    _train(backend, trainers.BpeTrainer(vocab_size=500, special_tokens=special, show_progress=False))
    backend.post_processor = processors.TemplateProcessing(single="<bos> $A", special_tokens=[("<bos>", 2)])
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        pad_token="<pad>",
        eos_token="<eos>",
        bos_token="<bos>",
        unk_token="<unk>",
        additional_special_tokens=["<start_of_turn>", "<end_of_turn>"],
        padding_side="left",
    )


def _bert_tokenizer() -> PreTrainedTokenizerFast:
    backend = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    backend.normalizer = normalizers.BertNormalizer()
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    _train(backend, trainers.WordPieceTrainer(vocab_size=500, special_tokens=special, show_progress=False))
    backend.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)])
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]", mask_token="[MASK]"
    )


def _train(backend: Tokenizer, trainer: Any) -> None:
    chance = random.Random(0)
    # Every character within words too, so that none is unknown.
    strewn = [" ".join("".join(chance.sample(_CHARACTERS, 12)) for _ in range(20)) for _ in range(40)]
    backend.train_from_iterator([*strewn, *(some_text(200, seed) for seed in range(20))], trainer)
