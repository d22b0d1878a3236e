"""Fine-tuning, from files of labelled texts to a folder with the best adapter weights; read it from top to bottom."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from sklearn.metrics import roc_auc_score
from torch.nn.functional import cross_entropy
from transformers import get_linear_schedule_with_warmup

from modq_training.batching import passes_of, steps_of
from modq_training.dataset import Example, InvalidDataset, Split, draw
from modq_training.disguise import disguise
from modq_training.recipe import Recipe
from modq_training.trainable import build_model, load_tokenizer, save_weights

LOG, CHECKPOINT = "measured/training_log.jsonl", "checkpoint.pt"
EVALUATIONS = 10
"""How often an epoch is interrupted to look at the validation texts."""
VALIDATION_ROWS = 2000


@dataclass(frozen=True, slots=True)
class Trained:
    """What a run can tell of itself; every field is measured."""

    seed: int
    steps: int
    """Steps of the optimiser until the end of the run."""
    best_step: int
    """The step whose weights were kept."""
    validation_roc_auc: float
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
    seed: int = 0,
    epochs: int | None = None,
    max_steps: int | None = None,
    resume: bool = False,
    quiet: bool = False,
) -> Trained:
    """Train ``recipe`` and leave the best weights in ``output`` as a PEFT folder.

    The same recipe, data, seed and machine give the same weights. ``resume`` continues from the checkpoint in
    ``output`` of an interrupted run with the same arguments, at its last evaluation, and starts anew where there is none.

    Raises:
        InvalidDataset: there are no safe or no toxic texts to train or to validate with.
    """
    started = time.monotonic()
    torch.manual_seed(seed)
    (output / LOG).parent.mkdir(parents=True, exist_ok=True)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    tokenizer = load_tokenizer(backbone)
    model = build_model(recipe, backbone, tokenizer.pad_token_id).to(device)
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]

    # The steps of all epochs are planned before the first, because the learning rate falls to nothing at the last.
    plan: list[tuple[list[list[int]], list[int]]] = []
    seen = 0
    for epoch in range(epochs or recipe.epochs):
        rows = draw(split.train, recipe.mix, rows=recipe.mix.rows, seed=seed * 1000 + epoch)
        tokens = tokenize(tokenizer, disguised(rows, recipe.disguised_share, f"disguise {seed} {epoch}"), recipe.max_tokens)
        for indices in steps_of([len(ids) for ids in tokens], rows=recipe.batch_rows, seed=f"steps {seed} {epoch}"):
            plan.append(([tokens[index] for index in indices], [rows[index].label for index in indices]))
        seen += len(rows)
    plan = plan[:max_steps]
    every = max(1, len(plan) // (EVALUATIONS * (epochs or recipe.epochs)))

    chosen = draw(split.validation, recipe.mix, rows=VALIDATION_ROWS, seed=0)
    validation_tokens = tokenize(tokenizer, [row.text for row in chosen], recipe.max_tokens)
    validation_labels = [row.label for row in chosen]
    if not plan or len(set(validation_labels)) < 2:
        raise InvalidDataset("The data is too little: to train and to validate, safe and toxic texts are needed in both parts.")

    optimizer = torch.optim.AdamW(trained, lr=recipe.learning_rate, weight_decay=recipe.weight_decay)
    schedule = get_linear_schedule_with_warmup(optimizer, int(len(plan) * recipe.warmup_share), len(plan))
    step, best_step, best = 0, 0, 0.0
    checkpoint = output / CHECKPOINT
    if resume and checkpoint.exists():
        step, best_step, best = load_checkpoint(checkpoint, trained, optimizer, schedule)
    elif (output / LOG).exists():
        (output / LOG).unlink()

    stopped_early = False
    losses: list[float] = []
    with progress_bar(quiet) as bar:
        task = bar.add_task("training", total=len(plan), completed=step, figures="")
        while step < len(plan):
            token_ids, labels = plan[step]
            model.train()
            losses.append(0.0)
            # The sum over the passes of a step, each divided by the step's rows, is the mean over the step.
            for loss in pass_losses(model, device, token_ids, labels, recipe.batch_tokens):
                torch.autograd.backward(loss / len(labels))
                losses[-1] += loss.item() / len(labels)
            torch.nn.utils.clip_grad_norm_(trained, 1.0)
            optimizer.step()
            schedule.step()
            optimizer.zero_grad(set_to_none=True)
            step += 1
            bar.update(task, completed=step)
            if step % every and step != len(plan):
                continue

            margins = predict(model, device, validation_tokens, recipe.batch_tokens)
            roc_auc = float(roc_auc_score(validation_labels, margins))
            figures = {"step": step, "loss": round(mean(losses), 4), "validation_roc_auc": round(roc_auc, 4), "seconds": round(time.monotonic() - started, 1)}
            with (output / LOG).open("a") as log:
                log.write(json.dumps(figures) + "\n")
            bar.update(task, figures=f"loss {figures['loss']:.3f}  ROC-AUC {roc_auc:.4f}")
            losses.clear()
            if roc_auc > best:
                best, best_step = roc_auc, step
                save_weights(model, recipe, output)
            save_checkpoint(checkpoint, trained, optimizer, schedule, step, best_step, best)
            if step - best_step >= recipe.patience * every:
                stopped_early = True
                break

    checkpoint.unlink()
    return Trained(
        seed=seed,
        steps=step,
        best_step=best_step,
        validation_roc_auc=best,
        rows_train=len(split.train),
        rows_validation=len(split.validation),
        rows_seen=min(seen, step * recipe.batch_rows),
        parameters=sum(parameter.numel() for parameter in trained),
        seconds=round(time.monotonic() - started, 1),
        device=device.type,
        stopped_early=stopped_early,
    )


def disguised(rows: Sequence[Example], share: float, seed: str) -> list[str]:
    """The rows' texts, a ``share`` of them in disguise."""
    chance = random.Random(seed)
    return [disguise(row.text, chance) if chance.random() < share else row.text for row in rows]


def tokenize(tokenizer: Any, texts: Sequence[str], max_tokens: int) -> list[list[int]]:
    """Token ids of each text. What looks like a control token in a text is text: whoever writes a post must not steer the model."""
    if not texts:
        return []
    ids: list[list[int]] = tokenizer(list(texts), truncation=True, max_length=max_tokens, split_special_tokens=True)["input_ids"]
    return ids


def pass_losses(model: Any, device: torch.device, token_ids: Sequence[list[int]], labels: Sequence[int], budget: int) -> Iterator[torch.Tensor]:
    """The summed loss of each pass of one step."""
    for indices in passes_of(range(len(labels)), [len(ids) for ids in token_ids], tokens=budget):
        logits = forward(model, device, [token_ids[index] for index in indices])
        yield cross_entropy(logits, torch.tensor([labels[index] for index in indices], device=device), reduction="sum")


def predict(model: Any, device: torch.device, token_ids: Sequence[list[int]], budget: int) -> np.ndarray[Any, np.dtype[np.float64]]:
    """How far the toxic logit lies above the safe one, for each text."""
    model.eval()
    margins = np.zeros(len(token_ids))
    with torch.inference_mode():
        for indices in passes_of(range(len(token_ids)), [len(ids) for ids in token_ids], tokens=budget):
            logits = forward(model, device, [token_ids[index] for index in indices])
            margins[indices] = (logits[:, 1] - logits[:, 0]).double().cpu().numpy()
    return margins


def forward(model: Any, device: torch.device, token_ids: Sequence[list[int]]) -> torch.Tensor:
    """The two logits of each text, in float32; the pass itself is in bfloat16, which halves its time where the hardware has it."""
    longest = max(len(ids) for ids in token_ids)
    ids = torch.full((len(token_ids), longest), model.config.pad_token_id)
    mask = torch.zeros_like(ids)
    for row, tokens in enumerate(token_ids):
        ids[row, : len(tokens)] = torch.tensor(tokens)
        mask[row, : len(tokens)] = 1
    with torch.autocast(device.type, torch.bfloat16):
        logits: torch.Tensor = model(input_ids=ids.to(device), attention_mask=mask.to(device)).logits
    return logits.float()


def save_checkpoint(path: Path, trained: Sequence[torch.nn.Parameter], optimizer: Any, schedule: Any, step: int, best_step: int, best: float) -> None:
    """Write what a later session needs to go on as if this one had not ended."""
    state = {
        "trained": [parameter.detach() for parameter in trained],
        "optimizer": optimizer.state_dict(),
        "schedule": schedule.state_dict(),
        "random": torch.get_rng_state(),
        "progress": (step, best_step, best),
    }
    part = path.with_suffix(".part")
    torch.save(state, part)
    part.replace(path)


def load_checkpoint(path: Path, trained: Sequence[torch.nn.Parameter], optimizer: Any, schedule: Any) -> tuple[int, int, float]:
    """Go back to a checkpoint; returns the step, the best step and the best step's ROC-AUC."""
    state = torch.load(path, weights_only=True)
    with torch.no_grad():
        for parameter, saved in zip(trained, state["trained"], strict=True):
            parameter.copy_(saved)
    optimizer.load_state_dict(state["optimizer"])
    schedule.load_state_dict(state["schedule"])
    torch.set_rng_state(state["random"])
    step, best_step, best = state["progress"]
    return step, best_step, best


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
