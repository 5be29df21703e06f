"""The commands about models: `models`, `models import`, `train`, `freeze`, `adapt`. Arguments and exit codes only."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Annotated, Any

import typer

from .console import escaped, one_sentence, print_table, shown, tell
from .options import EXAMPLES, SETTINGS, Force, Json, command
from .sizes import sized

__all__ = ["adapt_command", "freeze_command", "models_app", "train_command"]

models_app = typer.Typer(epilog=EXAMPLES["models"], **{**SETTINGS, "no_args_is_help": False})


@models_app.callback(invoke_without_command=True)
def models_command(context: typer.Context, as_json: Json = False) -> None:
    """List the models that are found (LECODEC_MODELS adds some), or import one."""
    if context.invoked_subcommand is not None:
        return
    from ..codec.registry import list_models

    with one_sentence("models"):
        cards = list_models()
    if as_json:
        for card in cards:
            print(json.dumps({"name": card.name, "path": str(card.path), **card.card}))
        return
    print_table(
        [
            {"name": card.name, "parse": card.parse_digest, "synthesis": card.synthesis_digest, "path": str(card.path)}
            for card in cards
        ]
    )


@command(models_app, "import", "Make a model file of a checkpoint of CompressAI.")
def import_command(
    network: Annotated[
        str,
        typer.Argument(
            help="The network: compressai:NAME, of bmshj2018-factorized, bmshj2018-hyperprior and mbt2018-mean.",
            metavar="NETWORK",
        ),
    ],
    checkpoint: Annotated[Path, typer.Argument(help="A checkpoint with its weights.", metavar="CHECKPOINT")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Model file to write (.safetensors).", metavar="FILE")],
    name: Annotated[
        str | None, typer.Option("--name", help="Name of the model; the file's by default.", metavar="NAME")
    ] = None,
    force: Force = False,
) -> None:
    """Make a model file of a checkpoint of CompressAI."""
    with one_sentence(str(checkpoint)):
        from ..codec.compressai_import import import_compressai

        import_compressai(network, checkpoint, output, name=name, overwrite=force)
        _say_model(checkpoint, output)


def _print_fields(kind: str | None) -> None:
    """What `train --fields` prints: a line for each field of a kind's recipes."""
    if kind is None:
        return
    with one_sentence("--fields"):
        from ..codec.kinds import TRAINED
        from ..codec.media.named import named
        from ..train.schema import described

        if kind not in TRAINED:
            raise typer.BadParameter(f"--fields {kind}: expected one of {', '.join(TRAINED)}")
        for name, default, text in described(named(TRAINED[kind].recipe)):
            print(f"{name + (f' = {default}' if default else ''):<36}  {text}".rstrip())
    raise typer.Exit


def train_command(
    recipe: Annotated[
        str,
        typer.Argument(
            help="What to train, and how: a YAML file, or a shipped recipe: image, photo, set, mnist, video, sound, …",
            metavar="RECIPE",
        ),
    ],
    resume: Annotated[bool, typer.Option("--resume", help="Continue from the run's last checkpoint.")] = False,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="Change one setting of the recipe, or a part of one: a.b=1.", metavar="KEY=VALUE"),
    ] = None,
    device: Annotated[
        str,
        typer.Option("--device", help="auto: GPUs where there are some; cpu or cuda.", metavar="DEVICE"),
    ] = "auto",
    devices: Annotated[
        int | None,
        typer.Option(
            "--devices", help="GPUs (with --device cpu: processes) on each machine; 1 by default.", min=1, metavar="N"
        ),
    ] = None,
    nodes: Annotated[
        int,
        typer.Option(
            "--nodes", help="Machines, each of which runs this command (torchrun, see TRAINING.md).", min=1, metavar="N"
        ),
    ] = 1,
    fields: Annotated[
        str | None,
        typer.Option(
            "--fields",
            help="List what recipes of a kind (image, photo, circuit, video, sound, adapted, codebook) may set, "
            "and exit.",
            callback=_print_fields,
            is_eager=True,
            metavar="KIND",
        ),
    ] = None,
) -> None:
    """Train a model as a recipe says, into runs/NAME. It may be stopped at any time: --resume goes on."""
    with one_sentence(recipe):
        overrides = dict(_setting(text) for text in settings or [])
        from ..train.run import train

        train(recipe, resume=resume, overrides=overrides, accelerator=device, devices=devices, nodes=nodes)


def freeze_command(
    run: Annotated[Path, typer.Argument(help="Folder of a training run, or a checkpoint.", metavar="RUN")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Model file to write (.safetensors).", metavar="FILE")],
    name: Annotated[
        str | None, typer.Option("--name", help="Name of the model; the file's by default.", metavar="NAME")
    ] = None,
    calibrate: Annotated[
        int,
        typer.Option(
            "--calibrate", help="Training crops to count symbols on; 0 keeps the fitted tables.", min=0, metavar="N"
        ),
    ] = 400,
    force: Force = False,
) -> None:
    """Turn a training run into a model file, which encode --model takes, and LECODEC_MODELS makes known to decode."""
    with one_sentence(str(run)):
        from ..train.freeze import freeze

        def say(text: str) -> None:
            tell(str(run), shown(text))

        freeze(run, output, name=name, overwrite=force, calibrate=calibrate, say=say)
        _say_model(run, output)


def adapt_command(
    folder: Annotated[
        Path, typer.Argument(help="Pictures of one kind, at least 25, searched recursively.", metavar="DIR")
    ],
    output: Annotated[Path, typer.Option("-o", "--output", help="Model file to write (.safetensors).", metavar="FILE")],
    model: Annotated[
        str, typer.Option("--model", help="The image model to adapt: a name or a file.", metavar="MODEL")
    ] = "image",
    minutes: Annotated[float, typer.Option("--minutes", help="How long to train.", min=0.1, metavar="N")] = 10.0,
    name: Annotated[
        str | None, typer.Option("--name", help="Name of the model; the file's by default.", metavar="NAME")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with a run that was stopped.")] = False,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="Change a setting (lecodec train --fields adapted).", metavar="KEY=VALUE"),
    ] = None,
    force: Force = False,
) -> None:
    """Adapt an image model to your own pictures.

    The result is a small file of changes to that model. Whoever decodes needs both; encode --model takes it. A fifth of
    the pictures is not trained on but measured with, and nothing is written where too little is gained.
    """
    with one_sentence(str(folder)):
        from ..train.adapt_freeze import adapt

        found = adapt(
            folder,
            output,
            base=model,
            minutes=minutes,
            name=name,
            resume=resume,
            overwrite=force,
            settings=dict(_setting(text) for text in settings or []),
        )
        _say_model(folder, output)
        print(f"{found['gain']:.1%} fewer bytes at equal distortion on {found['pictures']} held-out pictures")


def _say_model(source: Path, output: Path) -> None:
    """What has become of a run or a checkpoint."""
    from ..codec.model_file import read_card

    card = read_card(output)
    kind, size = escaped(str(card.card["kind"])), sized(os.path.getsize(output))
    print(f"{shown(source)} -> {shown(output)}: model {escaped(card.name)} ({kind}, {size})")


def _setting(text: str) -> tuple[str, Any]:
    """KEY=VALUE, the value as YAML reads it (so that 1e-4 and true are not text)."""
    key, equals, value = text.partition("=")
    if not key or not equals:
        raise typer.BadParameter(f"--set {text}: expected KEY=VALUE")
    from .. import InputError
    from ..train.schema import parse_value

    try:
        return key, parse_value(value)
    except InputError as error:
        raise typer.BadParameter(f"--set {text}: {error}") from None
