"""``vedette train``: models of your own, each a folder that ``--model`` takes."""

from __future__ import annotations

import typer

from vedette.cli.common import guarded
from vedette.cli.train import distill, few_shot, finetune, lora, mine, mlp, next_, probe, prompt

app = typer.Typer(
    help="Train a model on a labelled set: the result is a folder that --model takes.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

app.command("finetune")(guarded(finetune.finetune))
app.command("lora")(guarded(lora.lora))
app.command("distill")(guarded(distill.distill))
app.command("prompt")(guarded(prompt.prompt))
app.command("few-shot")(guarded(few_shot.few_shot))
app.command("next")(guarded(next_.next_labels))
app.command("mine")(guarded(mine.mine))
app.command("probe")(guarded(probe.probe))
app.command("mlp")(guarded(mlp.mlp))
