"""Application: the commands in the order in which help lists them; runs none."""

from __future__ import annotations

import typer

from unisono.cli.commands.adapt import adapt
from unisono.cli.commands.calibrate import calibrate
from unisono.cli.commands.check import check
from unisono.cli.commands.demo import demo
from unisono.cli.commands.embed import embed
from unisono.cli.commands.evaluate import evaluate
from unisono.cli.commands.feature_effects import feature_effects
from unisono.cli.commands.fit import fit
from unisono.cli.commands.match import match
from unisono.cli.commands.predict import predict

app = typer.Typer(
    name="unisono",
    help="Predict one modality of a cell from another, and match cells across modalities, with one fitted model.",
    add_completion=False,
    pretty_exceptions_enable=False,
)

for command in (check, fit, predict, match, embed, adapt, calibrate, feature_effects, evaluate, demo):
    app.command()(command)
