"""The command line: arguments, messages and exit codes; the work is done by the modules below it.

    lecodec encode | decode | info | test | models | train | freeze | eval rd

Conventions of zstd and flac (see console.py). Inputs are kept; an existing output is refused without `-f`; `-o FILE`
goes with one input and `-o DIR/` with many; `-` and `-c` are pipes. One bad file does not stop the others: each gets
one sentence on stderr. Progress appears only on a terminal. Ctrl-C leaves no temporary file behind.

Exit codes: 0 all good, 1 some file failed, 2 wrong usage, 130 interrupted.

Heavy modules (torch, numpy, Pillow, rich) are imported inside the commands that need them: `lecodec info` needs none.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from .console import (
    Outcome,
    checked_inputs,
    complain,
    emit,
    leave_stdout,
    one_sentence,
    plan_outputs,
    print_table,
    read_lec,
    say,
    shown,
    tell,
    with_progress,
)

if TYPE_CHECKING:
    from .codec.image import ImageCodec

__all__ = ["app", "main"]

SUFFIX = ".lec"
PICTURE_SUFFIXES = {
    ".avif", ".bmp", ".gif", ".jp2", ".jpeg", ".jpg", ".pgm", ".png", ".pnm", ".ppm", ".tif", ".tiff", ".webp"
}  # fmt: skip
"""Suffixes that decoding replaces by `.png`; any other belongs to the name."""

_SETTINGS: dict[str, Any] = {
    "no_args_is_help": True,
    "add_completion": False,
    "rich_markup_mode": None,
    "pretty_exceptions_enable": False,
    "context_settings": {"help_option_names": ["-h", "--help"]},
}
app = typer.Typer(
    help="Learned image compression: pictures in, small .lec files out, and back.",
    epilog="Exit codes: 0 all good, 1 some file failed, 2 wrong usage, 130 interrupted.",
    **_SETTINGS,
)
eval_app = typer.Typer(help="Measure codecs on a folder of pictures.", **_SETTINGS)
app.add_typer(eval_app, name="eval")

Pictures = Annotated[list[str], typer.Argument(help="Pictures, or - for standard input.", metavar="PICTURE")]
LecFiles = Annotated[list[str], typer.Argument(help="Files to read, or - for standard input.", metavar="FILE")]
Output = Annotated[
    str | None, typer.Option("-o", "--output", help="Output file; a folder (DIR/) with several inputs; - for a pipe.")
]
Stdout = Annotated[bool, typer.Option("-c", "--stdout", help="Write to standard output.")]
Force = Annotated[bool, typer.Option("-f", "--force", help="Overwrite existing outputs.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="Print nothing but errors.")]
Model = Annotated[str | None, typer.Option("--model", help="Name or path of a model.", metavar="MODEL")]
Device = Annotated[str, typer.Option("--device", help="Where the networks run: cpu or cuda.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, one object a line.")]


def main(argv: Sequence[str] | None = None) -> NoReturn:
    """Run the command line on `argv` (without the program's name; `sys.argv` by default) and exit."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(AttributeError):  # a file name may hold bytes that the terminal's encoding lacks
            stream.reconfigure(errors="backslashreplace")  # pyright: ignore[reportAttributeAccessIssue]
    code: Any = 0
    try:
        try:
            app(args=None if argv is None else list(argv), prog_name="lecodec")
        except SystemExit as exit:
            code = exit.code
        sys.stdout.flush()  # a full disk behind stdout may show only here
    except OSError as error:
        complain("standard output", error)
        leave_stdout()
        code = 1
    raise SystemExit(code)


def _version(wanted: bool) -> None:
    if wanted:
        from . import __version__

        print(f"lecodec {__version__}")
        raise typer.Exit


def _quality(value: float) -> float:
    if not 1 <= value <= 100:  # written so that nan is refused too
        raise typer.BadParameter(f"{value:g} is not in 1 to 100")
    return value


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    pass


@app.command("encode")
def encode_command(
    pictures: Pictures,
    output: Output = None,
    stdout: Stdout = False,
    quality: Annotated[
        float, typer.Option("-q", "--quality", help="1 (small) to 100 (good); fractions allowed.", callback=_quality)
    ] = 60.0,
    model: Model = None,
    device: Device = "cpu",
    force: Force = False,
    quiet: Quiet = False,
) -> None:
    """Compress pictures: photo.png -> photo.png.lec."""
    import warnings

    plan = plan_outputs(pictures, output, stdout, lambda name: name + SUFFIX)
    from .codec.media import load_picture

    warnings.simplefilter("ignore")  # Pillow's remarks on odd files: what matters ends as an error or a note
    outcome = Outcome(force)
    codecs = _Codecs(device, outcome)
    for source, destination in with_progress(plan, "encoding", quiet):
        with outcome.of(source, destination):
            outcome.check_output(source, destination)
            picture = load_picture(sys.stdin.buffer if source == "-" else source)
            codec = codecs.get(model)
            started = time.perf_counter()
            data = codec.encode(picture.samples, quality=quality)
            emit(data, destination, force)
            seconds = time.perf_counter() - started
            if not quiet:
                for note in picture.notes:
                    tell(source, f"note: {note}")
                bpp = 8 * len(data) / (picture.samples.shape[0] * picture.samples.shape[1])
                say(
                    destination,
                    f"{shown(source)} -> {shown(destination)}: {picture.file_bytes} -> {len(data)} bytes, "
                    f"{bpp:.3f} bpp, {picture.file_bytes / len(data):.1f}:1, {seconds:.2f} s",
                )
    raise typer.Exit(outcome.code)


@app.command("decode")
def decode_command(
    files: LecFiles,
    output: Output = None,
    stdout: Stdout = False,
    model: Model = None,
    device: Device = "cpu",
    force: Force = False,
    quiet: Quiet = False,
) -> None:
    """Decompress files: photo.png.lec -> photo.png."""
    plan = plan_outputs(files, output, stdout, _picture_name)
    from .codec.media import picture_format, write_picture

    outcome = Outcome(force)
    codecs = _Codecs(device, outcome)
    for source, destination in with_progress(plan, "decoding", quiet):
        with outcome.of(source, destination):
            outcome.check_output(source, destination)
            if destination is not None:
                picture_format(destination)
            data = read_lec(source)
            codec = codecs.get(model) if model else codecs.named_by(data)
            started = time.perf_counter()
            samples = codec.decode(data)
            if destination is None:
                write_picture(samples, sys.stdout.buffer)
                sys.stdout.buffer.flush()
            else:
                write_picture(samples, destination, overwrite=force)
            seconds = time.perf_counter() - started
            if not quiet:
                size = f"{samples.shape[1]} x {samples.shape[0]}"
                say(destination, f"{shown(source)} -> {shown(destination)}: {size}, {seconds:.2f} s")
    raise typer.Exit(outcome.code)


@app.command("info")
def info_command(files: LecFiles, as_json: Json = False) -> None:
    """Say what files hold, without decoding them."""
    from . import info
    from .bitstream import read_header

    outcome = Outcome()
    for source in checked_inputs(files):
        with outcome.of(source):
            data = read_lec(source)
            facts = info(data)
            if as_json:
                import json

                print(json.dumps({"file": source, **facts}))
            else:
                known = facts["model"] or "not found (--model or LECODEC_MODELS may point at it when decoding)"
                lines = {"bytes": facts["bytes"], "bpp": f"{facts['bpp']:.4f}", "model": known}
                print(shown(source))
                for name, value in {**read_header(data).describe(), **lines}.items():
                    print(f"  {name:<17} {value}")
    raise typer.Exit(outcome.code)


@app.command("test")
def test_command(files: LecFiles, model: Model = None, device: Device = "cpu", quiet: Quiet = False) -> None:
    """Check that files are whole; writes nothing."""
    outcome = Outcome()
    codecs = _Codecs(device, outcome)
    for source in with_progress(checked_inputs(files), "testing", quiet):
        with outcome.of(source):
            data = read_lec(source)
            (codecs.get(model) if model else codecs.named_by(data)).test(data)
            if not quiet:
                print(f"{shown(source)}: ok")
    raise typer.Exit(outcome.code)


@app.command("models")
def models_command(as_json: Json = False) -> None:
    """List the models at hand (LECODEC_MODELS adds some)."""
    from .codec.registry import list_models

    with one_sentence("models"):
        cards = list_models()
    if as_json:
        import json

        for card in cards:
            print(json.dumps({"name": card.name, "path": str(card.path), **card.card}))
        return
    print_table(
        [
            {"name": card.name, "parse": card.parse_digest, "synthesis": card.synthesis_digest, "path": str(card.path)}
            for card in cards
        ]
    )


@app.command("train")
def train_command(
    recipe: Annotated[Path, typer.Argument(help="What to train, and how.", metavar="RECIPE.yaml")],
    resume: Annotated[bool, typer.Option("--resume", help="Continue from the run's last checkpoint.")] = False,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="Change one setting of the recipe.", metavar="KEY=VALUE")
    ] = None,
) -> None:
    """Train a model as a recipe says."""
    overrides = dict(_setting(text) for text in settings or [])
    with one_sentence(str(recipe)):
        from .train.loop import train

        train(recipe, resume=resume, overrides=overrides)


@app.command("freeze")
def freeze_command(
    run: Annotated[Path, typer.Argument(help="Folder of a training run, or a checkpoint.", metavar="RUN")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Model file to write (.safetensors).")],
    name: Annotated[str | None, typer.Option("--name", help="Name of the model; the file's by default.")] = None,
    calibrate: Annotated[
        int, typer.Option("--calibrate", help="Training crops to count symbols on; 0 keeps the fitted tables.", min=0)
    ] = 400,
    force: Force = False,
) -> None:
    """Turn a training run into a model file."""
    with one_sentence(str(run)):
        from .train.freeze import freeze

        freeze(run, output, name=name, overwrite=force, calibrate=calibrate)


@eval_app.callback()
def _eval_root() -> None:
    pass  # a callback keeps `rd` a subcommand while it is the only one


@eval_app.command("rd")
def rd_command(
    folder: Annotated[Path, typer.Argument(help="Folder of pictures.", metavar="DIR")],
    codecs: Annotated[str, typer.Option("--codecs", help="Names, with commas.")] = "lecodec,jpeg,webp,avif",
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder for the tables and the plot.")] = Path("rd"),
    anchor: Annotated[str | None, typer.Option("--anchor", help="Codec that BD-rates refer to.")] = None,
    low: Annotated[float, typer.Option("--low", help="Lower end of the BD range, dB.")] = 26.0,
    high: Annotated[float, typer.Option("--high", help="Upper end of the BD range, dB.")] = 36.0,
    limit: Annotated[int | None, typer.Option("--limit", help="Take only the first pictures.", min=1)] = None,
    quiet: Quiet = False,
) -> None:
    """Rate-distortion curves and BD-rates from real files: TSV tables and a plot."""
    with one_sentence(str(folder)):
        from .eval.rd import run_rd

        names = [name.strip() for name in codecs.split(",") if name.strip()]
        tick = None if quiet or not sys.stderr.isatty() else _tick
        result = run_rd(folder, names, output, anchor=anchor, low=low, high=high, limit=limit, progress=tick)
        print_table(result.summary_table())
        print()
        print_table(result.bd_table())
        for name, why in result.skipped:
            tell(name, f"left out: {why}")
    raise typer.Exit(1 if result.skipped else 0)


class _Codecs:
    """Codecs by model, each loaded once, when the first readable input needs it."""

    def __init__(self, device: str, outcome: Outcome) -> None:
        self.device = device
        self.outcome = outcome
        self.loaded: dict[str | None, ImageCodec] = {}

    def get(self, model: str | None) -> ImageCodec:
        """The codec of the model that the user asked for. Without it no input can be done: one sentence and the end."""
        try:
            return self._load(model)
        except (OSError, RuntimeError) as error:
            self.outcome.failed(model or "model", error)
            raise typer.Exit(1) from None

    def named_by(self, data: bytes) -> ImageCodec:
        """The codec of the model that a file names. Raises UnknownModel."""
        from .bitstream import read_header
        from .codec.registry import find_by_digest

        header = read_header(data)
        return self._load(str(find_by_digest(header.parse_digest, header.synthesis_digest).path))

    def _load(self, model: str | None) -> ImageCodec:
        if model not in self.loaded:
            from .codec.image import load

            self.loaded[model] = load(device=self.device, model=model)
        return self.loaded[model]


def _picture_name(name: str) -> str:
    """The name to decode to: photo.png.lec -> photo.png, photo.jpg.lec -> photo.png, x.lec -> x.png."""
    stem = name[: -len(SUFFIX)] if name.lower().endswith(SUFFIX) and len(name) > len(SUFFIX) else name
    base, suffix = os.path.splitext(stem)
    if suffix.lower() == ".png":
        return stem
    return (base if suffix.lower() in PICTURE_SUFFIXES else stem) + ".png"


def _setting(text: str) -> tuple[str, Any]:
    """KEY=VALUE, the value as YAML reads it (so that 1e-4 and true are not text)."""
    key, equals, value = text.partition("=")
    if not key or not equals:
        raise typer.BadParameter(f"--set {text}: expected KEY=VALUE")
    import yaml

    return key, yaml.safe_load(value)


def _tick(done: int, total: int) -> None:
    end = "\r" if done < total else "\r\x1b[K"
    print(f"{done} of {total} files", end=end, file=sys.stderr, flush=True)
