"""Options of training that several verbs of `recsys images` share.

They are written out: `ImageTrainingConfig` stands on torch, which `recsys --help` does without.
"""

from typing import Annotated

import typer

LearningRate = Annotated[float | None, typer.Option(help="Of Adam.")]
Device = Annotated[str | None, typer.Option(help="auto, cpu, cuda, cuda:N or mps.")]
Precision = Annotated[str | None, typer.Option(help="auto, float32 or bf16.")]
CheckpointSeconds = Annotated[float | None, typer.Option(help="How much work a killed run may lose.")]
