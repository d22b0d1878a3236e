"""Fine-tuning, from files of labelled texts to a folder with the best adapter weights; read it from top to bottom."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from sklearn.metrics import roc_auc_score
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy
from transformers import get_linear_schedule_with_warmup

from modq_training.batching import passes_of, steps_of
from modq_training.checkpoint import CHECKPOINT, Best, Checkpoint, fingerprint, shorten
from modq_training.dataset import Example, InvalidDataset, Split, draw
from modq_training.disguise import disguise
from modq_training.recipe import Mix, Recipe
from modq_training.trainable import build_model, load_tokenizer, save_weights
from modq_worker.text import spell_emoji
from modq_worker.tokens import knows_emoji

LOG = "measured/training_log.jsonl"
VALIDATION_ROWS = 2000
UNKNOWN = -1.0
"""In place of 0 or 1, where nobody said whether a text breaks a rule."""


Figures = np.ndarray[Any, np.dtype[np.float64]]


@dataclass(frozen=True, slots=True)
class Step:
    """The rows of one step of the optimiser."""

    token_ids: list[list[int]]
    labels: list[int]
    targets: list[list[float]]
    """For each row, of each rule: 1 where it breaks it, 0 where not, ``UNKNOWN``."""


@dataclass(frozen=True, slots=True)
class Trained:
    """What a run can tell of itself; every field is measured."""

    seed: int
    steps: int
    """Steps of the optimiser until the end of the run."""
    best_step: int
    """The step whose weights were kept."""
    validation_roc_auc: float
    validation_rule_roc_auc: float | None
    """Mean over the rules that some validation text breaks; None without such."""
    rows_train: int
    """Different texts to draw from, of which an epoch saw ``rows_seen``."""
    rows_validation: int
    rows_seen: int
    parameters: int
    """Trained parameters."""
    seconds: float
    """Wall clock, of the last session where the run was resumed."""
    device: str
    stopped_early: bool


def fine_tune(
    recipe: Recipe,
    split: Split,
    backbone: Path,
    output: Path,
    *,
    rules: Sequence[str] = (),
    seed: int = 0,
    epochs: int | None = None,
    max_steps: int | None = None,
    resume: bool = False,
    quiet: bool = False,
) -> Trained:
    """Train ``recipe`` and leave the best weights in ``output`` as a PEFT folder, with a second head for ``rules``.

    The same recipe, data, seed and machine give the same weights. ``resume`` continues from the checkpoint in
    ``output`` of a run that was interrupted or killed, and starts anew where there is none.

    Raises:
        InvalidDataset: there are no safe or no toxic texts to train or to validate with.
        OtherRun: the checkpoint is of another recipe, other data or another seed.
    """
    started = time.monotonic()
    torch.manual_seed(seed)
    (output / LOG).parent.mkdir(parents=True, exist_ok=True)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    tokenizer = load_tokenizer(backbone)
    model = build_model(recipe, backbone, tokenizer.pad_token_id, rules=len(rules)).to(device)
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]

    # The steps of all epochs are planned before the first, because the learning rate falls to nothing at the last.
    plan: list[Step] = []
    seen = 0
    for epoch in range(epochs or recipe.epochs):
        rows = draw(split.train, recipe.mix, rows=recipe.mix.rows, seed=seed * 1000 + epoch)
        tokens = tokenize(tokenizer, disguised(rows, recipe.disguised_share, f"disguise {seed} {epoch}"), recipe.max_tokens)
        for indices in steps_of([len(ids) for ids in tokens], rows=recipe.batch_rows, seed=f"steps {seed} {epoch}", pairs=[row.pair for row in rows]):
            chosen = [rows[index] for index in indices]
            plan.append(Step([tokens[index] for index in indices], [row.label for row in chosen], [rule_targets(row, rules, recipe.mix) for row in chosen]))
        seen += len(rows)
    plan = plan[:max_steps]
    every = max(1, len(plan) // (recipe.evaluations * (epochs or recipe.epochs)))

    validation = draw(split.validation, recipe.mix, rows=VALIDATION_ROWS, seed=0)
    validation_tokens = tokenize(tokenizer, [row.text for row in validation], recipe.max_tokens)
    validation_labels = [row.label for row in validation]
    validation_targets = np.array([rule_targets(row, rules, recipe.mix) for row in validation])
    if not plan or len(set(validation_labels)) < 2:
        raise InvalidDataset("The data is too little: to train and to validate, safe and toxic texts are needed in both parts.")

    optimizer = torch.optim.AdamW(trained, lr=recipe.learning_rate, weight_decay=recipe.weight_decay)
    schedule = get_linear_schedule_with_warmup(optimizer, int(len(plan) * recipe.warmup_share), len(plan))
    step, best = 0, Best()
    checkpoint = Checkpoint(output / CHECKPOINT, fingerprint(recipe, seed, rules, plan), trained, optimizer, schedule)
    if resume and checkpoint.path.exists():
        step, best = checkpoint.load()
    shorten(output / LOG, step)

    stopped_early = False
    losses: list[float] = []
    with progress_bar(quiet) as bar:
        task = bar.add_task("training", total=len(plan), completed=step, figures="")
        while step < len(plan):
            model.train()
            losses.append(0.0)
            # The sum over the passes of a step, each divided by the step's rows, is the mean over the step.
            for loss in pass_losses(model, device, plan[step], recipe):
                torch.autograd.backward(loss / len(plan[step].labels))
                losses[-1] += loss.item() / len(plan[step].labels)
            torch.nn.utils.clip_grad_norm_(trained, 1.0)
            optimizer.step()
            schedule.step()
            optimizer.zero_grad(set_to_none=True)
            step += 1
            bar.update(task, completed=step)
            if step % every and step != len(plan):
                if checkpoint.is_due():
                    checkpoint.save(step, best)
                continue

            logits = predict(model, device, validation_tokens, recipe.batch_tokens)
            roc_auc = float(roc_auc_score(validation_labels, logits[:, 1] - logits[:, 0]))
            of_rules = mean_roc_auc(validation_targets, logits[:, 2:])
            figures = {"step": step, "loss": round(mean(losses), 4), "validation_roc_auc": round(roc_auc, 4), "seconds": round(time.monotonic() - started, 1)}
            if of_rules is not None:
                figures["validation_rule_roc_auc"] = round(of_rules, 4)
            with (output / LOG).open("a") as log:
                log.write(json.dumps(figures) + "\n")
            bar.update(task, figures=f"loss {figures['loss']:.3f}  ROC-AUC {roc_auc:.4f}")
            losses.clear()
            if (found := Best(step, roc_auc, of_rules)).quality(recipe.rule_loss) > best.quality(recipe.rule_loss):
                best = found
                save_weights(model, recipe, output, rules=len(rules))
            checkpoint.save(step, best)
            if step - best.step >= recipe.patience * every:
                stopped_early = True
                break

    checkpoint.path.unlink()
    return Trained(
        seed=seed,
        steps=step,
        best_step=best.step,
        validation_roc_auc=best.roc_auc,
        validation_rule_roc_auc=best.rule_roc_auc,
        rows_train=len(split.train),
        rows_validation=len(split.validation),
        rows_seen=min(seen, step * recipe.batch_rows),
        parameters=sum(parameter.numel() for parameter in trained),
        seconds=round(time.monotonic() - started, 1),
        device=device.type,
        stopped_early=stopped_early,
    )


def disguised(rows: Sequence[Example], share: float, seed: str) -> list[str]:
    """The rows' texts, a ``share`` of those in disguise that wear none yet."""
    chance = random.Random(seed)
    return [disguise(row.text, chance) if chance.random() < share and not row.augmentation else row.text for row in rows]


def rule_targets(row: Example, rules: Sequence[str], mix: Mix) -> list[float]:
    """1 for every rule that the row breaks, 0 for the others, ``UNKNOWN`` where nobody said; everyday talk breaks none."""
    broken = () if row.rules is None and row.label == 0 and row.source in mix.neutral else row.rules
    return [UNKNOWN if broken is None else float(rule in broken) for rule in rules]


def tokenize(tokenizer: Any, texts: Sequence[str], max_tokens: int) -> list[list[int]]:
    """Token ids of each text, emoji read as the worker reads them. What looks like a control token in a text is text: whoever writes a post must not steer the model."""
    if not texts:
        return []
    read = list(texts) if knows_emoji(tokenizer) else [spell_emoji(text) for text in texts]
    ids: list[list[int]] = tokenizer(read, truncation=True, max_length=max_tokens, split_special_tokens=True)["input_ids"]
    return ids


def pass_losses(model: Any, device: torch.device, step: Step, recipe: Recipe) -> Iterator[torch.Tensor]:
    """The summed loss of each pass of one step."""
    for indices in passes_of(range(len(step.labels)), [len(ids) for ids in step.token_ids], tokens=recipe.batch_tokens):
        logits = forward(model, device, [step.token_ids[index] for index in indices])
        loss = cross_entropy(logits[:, :2], torch.tensor([step.labels[index] for index in indices], device=device), reduction="sum")
        targets = torch.tensor([step.targets[index] for index in indices], device=device)
        known = targets != UNKNOWN
        yield loss + recipe.rule_loss * binary_cross_entropy_with_logits(logits[:, 2:][known], targets[known], reduction="sum")


def predict(model: Any, device: torch.device, token_ids: Sequence[list[int]], budget: int) -> Figures:
    """The logits of each text."""
    model.eval()
    found: dict[int, Any] = {}
    with torch.inference_mode():
        for indices in passes_of(range(len(token_ids)), [len(ids) for ids in token_ids], tokens=budget):
            logits = forward(model, device, [token_ids[index] for index in indices])
            found |= zip(indices, logits.double().cpu().numpy(), strict=True)
    return np.array([found[index] for index in range(len(token_ids))])


def mean_roc_auc(targets: Figures, logits: Figures) -> float | None:
    """The mean over the rules that some text breaks and some does not."""
    columns = [(target[target != UNKNOWN], logit[target != UNKNOWN]) for target, logit in zip(targets.T, logits.T, strict=True)]
    figures = [float(roc_auc_score(target, logit)) for target, logit in columns if len(set(target.tolist())) == 2]
    return mean(figures) if figures else None


def forward(model: Any, device: torch.device, token_ids: Sequence[list[int]]) -> torch.Tensor:
    """The logits of each text, in float32; the pass itself is in bfloat16 where that is quicker."""
    longest = max(len(ids) for ids in token_ids)
    ids = torch.full((len(token_ids), longest), model.config.pad_token_id)
    mask = torch.zeros_like(ids)
    for row, tokens in enumerate(token_ids):
        ids[row, : len(tokens)] = torch.tensor(tokens)
        mask[row, : len(tokens)] = 1
    with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda" or cpu_has_amx()):
        logits: torch.Tensor = model(input_ids=ids.to(device), attention_mask=mask.to(device)).logits
    return logits.float()


@cache
def cpu_has_amx() -> bool:
    """Whether the CPU multiplies bfloat16 in tiles. With AVX-512 alone, training in it takes half as long again as in float32."""
    return bool(torch.cpu.get_capabilities().get("amx_bf16"))


def progress_bar(quiet: bool) -> Progress:
    """Steps, time left and the latest figures, on standard error."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[figures]}"),
        console=Console(stderr=True),
        disable=quiet,
    )
