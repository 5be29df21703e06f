"""The command line: arguments and exit codes; what they mean is passed on to the modules that do the work.

    cli -> paths (which files) -> jobs (many of them) -> tasks (one of them) -> loaded (codecs)
    cli -> console (how it looks)           cli -> cli_eval (what measures)

    lecodec encode | decode | info | test | models | train | freeze | eval …

Conventions of zstd and flac. Inputs are kept; an existing output is refused without `-f`; `-o FILE` goes with one
input and `-o DIR/` with many; `-r` takes folders; `-` and `-c` are pipes. One bad file does not stop the others: each
gets one sentence on stderr. Reports come in the order of the inputs. Ctrl-C leaves no temporary file behind.

Exit codes: 0 all good, 1 some file failed, 2 wrong usage, 130 interrupted, 143 terminated.

Heavy modules (torch, numpy, rich) are imported inside the commands that need them: `lecodec info` needs none. Of Pillow
only what registers the plug-in is there from the start, because importing the package brings it.
"""

from __future__ import annotations

import json
import math
import os
import re
import sys
import warnings
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
import typer.core

from ..bitstream import LOSSLESS, MAX_PIXELS, MAX_TILE, NO_DIGEST, TILE_STEP
from ..codec.codec import EFFORTS, RATES, Conflict, Target
from ..codec.media.medium import MEDIA, SET, medium_of
from ..codec.media.part import Frames, Items, Part, Region
from ..errors import ModelWarning
from .codecs import Codecs, ModelUnavailable
from .console import (
    Report,
    complain,
    decoded_line,
    encoded_line,
    escaped,
    escaping,
    leave_stdout,
    one_sentence,
    print_table,
    progress,
    reason,
    shown,
    sized,
    tell,
    tested_line,
)
from .evaluate import eval_app
from .jobs import Job, Task, cores, promptly_interrupted, run
from .options import SETTINGS, Device, FilesFrom, Force, Quiet, SkipExisting
from .paths import LEC, PICTURES, collect, decoded_name, encoded_name, is_folder, listed, plan
from .tasks import Decoding, Encoding, Testing, open_lec, opened

__all__ = ["app", "main", "program"]


_EXAMPLES = {
    name: "\b\nExamples:\n" + "\n".join(f"  lecodec {line}" for line in lines)
    for name, lines in {
        "encode": (
            "encode photo.png                        # -> photo.png.lec",
            "encode *.jpg -q 40 -o small/            # many, at quality 40",
            "encode -r photos/ -o coded/ -j 0 --skip-existing",
            "encode photo.png --size 50kB -o x.lec   # as good as fits",
            "encode scan.png --lossless              # every sample",
            "encode images.npy                       # a set, always without loss",
            "encode clip.mp4 -q 40",
            "encode talk.wav --kbps 8",
        ),
        "decode": (
            "decode photo.png.lec                    # -> photo.png",
            "decode -r coded/ -o back/ --format webp",
            "decode big.png.lec --region 0,0,640,480 -o part.png",
            "decode images.npy.lec --item 3-10 -o some.npy",
            "decode clip.mp4.lec --from 12 --to 15.5 -o part.mkv",
        ),
        "info": ("info photo.png.lec", "info -r coded/ --json"),
        "test": ("test photo.png.lec", "test -r coded/ -j 0"),
        "train": (
            "train image --set name=mine --set train=[photos/] --set minutes=60",
            "train --fields image                    # what can be set",
        ),
        "freeze": ("freeze runs/mine -o mine.safetensors",),
        "import": ("models import compressai:mbt2018-mean checkpoint.pth.tar -o mean.safetensors",),
    }.items()
}


class _Commands(typer.core.TyperGroup):
    """All commands. What they say of wrong usage reaches the terminal escaped."""

    def make_context(self, *args: Any, **kwargs: Any) -> Any:
        with escaping():
            return super().make_context(*args, **kwargs)

    def invoke(self, ctx: Any) -> Any:
        with escaping():
            return super().invoke(ctx)


app = typer.Typer(
    cls=_Commands,
    help="Learned compression: pictures, videos, sounds and sets of samples in, small .lec files out, and back.",
    epilog="Exit codes: 0 all good, 1 some file failed, 2 wrong usage, 130 interrupted, 143 terminated.",
    **{**SETTINGS, "add_completion": True},
)
app.add_typer(eval_app, name="eval")

Inputs = Annotated[
    list[str] | None,
    typer.Argument(
        help="Pictures, videos, sounds, or sets of samples (.npy, .npz, .npz:NAME, .idx, -ubyte, the last two also "
        ".gz); - for a picture on standard input.",
        metavar="FILE",
    ),
]
LecFiles = Annotated[list[str] | None, typer.Argument(help="Files to read, or - for standard input.", metavar="FILE")]
Output = Annotated[
    str | None, typer.Option("-o", "--output", help="Output file; a folder (DIR/) with several inputs; - for a pipe.")
]
Stdout = Annotated[bool, typer.Option("-c", "--stdout", help="Write to standard output.")]
Model = Annotated[str | None, typer.Option("--model", help="Name or path of a model.", metavar="MODEL")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, one object a line.")]
Recursive = Annotated[bool, typer.Option("-r", "--recursive", help="Take the files in folders.")]
Jobs = Annotated[int, typer.Option("-j", "--jobs", help="Files at a time; 0 for one a core.", min=0)]
KeepGoing = Annotated[
    bool, typer.Option("--keep-going/--no-keep-going", help="After a failure go on with the other files.")
]


def main(argv: Sequence[str] | None = None) -> NoReturn:
    """Run the command line on `argv` (without the program's name; `sys.argv` by default) and exit."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:  # closed, as a daemon's may be
            setattr(sys, name, open(os.devnull, mode))  # noqa: SIM115 - as long as the process lives
    for stream in (sys.stdout, sys.stderr):
        with suppress(AttributeError):  # a file name may hold bytes that the terminal's encoding lacks
            stream.reconfigure(errors="backslashreplace")  # pyright: ignore[reportAttributeAccessIssue]
    warnings.showwarning = partial(_warned, warnings.showwarning)
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


def _warned(otherwise: Callable[..., None], message: Warning | str, category: type[Warning], *rest: Any) -> None:
    """Say in our own words that a model is passed over."""
    if issubclass(category, ModelWarning):
        tell("LECODEC_MODELS", f"note: {message}")
    else:
        otherwise(message, category, *rest)


def program() -> NoReturn:
    """What the installed command runs: `main`, with two habits of torch changed that a command does not want.

    Its threads spin while they wait for each other, which on a machine whose cores are busy costs a multiple of the
    work: 768 x 512 pixels took more than 1.2 s instead of 0.2 s beside one other process on two cores (measured). And
    its teardown takes half a second and 130 MB, but has nothing to save unless a model was trained: the process ends at
    once.
    """
    os.environ.setdefault("GOMP_SPINCOUNT", "3000")  # as fast as the default on an idle machine
    try:
        main()
    except SystemExit as exit:
        if "lecodec.train.run" in sys.modules or "torch" not in sys.modules or not isinstance(exit.code, int | None):
            raise
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError):
                stream.flush()
        os._exit(exit.code or 0)


def _version(wanted: bool) -> None:
    if wanted:
        from .. import __version__

        print(f"lecodec {__version__}")
        raise typer.Exit


def _quality(value: float | None) -> float | None:
    if value is not None and not 1 <= value <= 100:  # written so that nan is refused too
        raise typer.BadParameter(f"{value:g} is not in 1 to 100")
    return value


def _positive(value: float | None) -> float | None:
    if value is not None and not 0 < value < math.inf:
        raise typer.BadParameter(f"{value:g} is not a number above 0")
    return value


def _score(value: float | None) -> float | None:
    if value is not None and not 0 < value <= 100:
        raise typer.BadParameter(f"{value:g} is not above 0 and up to 100")
    return value


def _tile(value: int | None) -> int | None:
    if value is not None and (value % TILE_STEP or not 0 <= value <= MAX_TILE):
        raise typer.BadParameter(f"{value} is not a multiple of {TILE_STEP} from 0 to {MAX_TILE}")
    return value


def _form(value: str | None) -> str | None:
    if value is not None and not re.fullmatch(r"\.?[A-Za-z0-9]{1,5}", value):
        raise typer.BadParameter(f"{value} is no suffix such as png, jpg, webp or tiff")
    return None if value is None else value.removeprefix(".").lower()


def _depth(value: int | None) -> int | None:
    if value not in (None, 8, 16):
        raise typer.BadParameter(f"{value} is neither 8 nor 16")
    return value


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    pass


@app.command("encode", epilog=_EXAMPLES["encode"])
def encode_command(
    files: Inputs = None,
    output: Output = None,
    stdout: Stdout = False,
    quality: Annotated[
        float | None,
        typer.Option(
            "-q", "--quality", help="1 (small) to 100 (good), fractions allowed; 60 by default.", callback=_quality
        ),
    ] = None,
    bpp: Annotated[
        float | None, typer.Option("--bpp", help="Instead of -q: bits a pixel to reach.", callback=_positive)
    ] = None,
    kbps: Annotated[
        float | None,
        typer.Option("--kbps", help="Instead of -q: thousand bits a second of a sound to reach.", callback=_positive),
    ] = None,
    psnr: Annotated[
        float | None, typer.Option("--psnr", help="Instead of -q: PSNR to reach, in dB.", callback=_positive)
    ] = None,
    ssimulacra2: Annotated[
        float | None,
        typer.Option("--ssimulacra2", help="Instead of -q: SSIMULACRA2 score to reach, up to 100.", callback=_score),
    ] = None,
    size: Annotated[
        str | None,
        typer.Option("--size", help="Instead of -q: largest file, as 50000, 50kB, 50KiB, 1.5MB."),
    ] = None,
    tile: Annotated[
        int | None,
        typer.Option(
            "--tile", help="Side of the tiles of a picture in pixels, a multiple of 64; 0 for none.", callback=_tile
        ),
    ] = None,
    effort: Annotated[
        int | None,
        typer.Option(
            "--effort",
            help="1 (fast, the default) to 9 (14 times as long): smaller files of pictures.",
            min=1,
            max=9,
        ),
    ] = None,
    strip: Annotated[bool, typer.Option("--strip", help="Leave EXIF, XMP and ICC profile out.")] = False,
    lossless: Annotated[bool, typer.Option("--lossless", help="Keep every sample. Sets always are.")] = False,
    as_set: Annotated[
        bool, typer.Option("--set", help="Make one set of each folder of equal-sized pictures; without loss.")
    ] = False,
    block: Annotated[
        int | None,
        typer.Option("--block", help="Items a block of a set; 512 by default if they are small.", min=1),
    ] = None,
    group: Annotated[
        int | None,
        typer.Option("--group", help="Frames a group of a video; 8, 16 or 32 by default, as suits it.", min=1, max=32),
    ] = None,
    low_delay: Annotated[
        bool, typer.Option("--low-delay", help="Code each frame of a video from the one before alone: larger files.")
    ] = False,
    verify: Annotated[
        bool | None,
        typer.Option("--verify/--no-verify", help="Decode each file before it appears; by default those without loss."),
    ] = None,
    recursive: Recursive = False,
    files_from: FilesFrom = None,
    jobs: Jobs = 1,
    keep_going: KeepGoing = True,
    model: Model = None,
    device: Device = "cpu",
    force: Force = False,
    skip_existing: SkipExisting = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Compress pictures, videos, sounds and sets of samples: photo.png -> photo.png.lec, song.flac -> song.flac.lec."""
    limit = None if size is None else _bytes(size)
    wanted = {"quality": quality, "bpp": bpp, "kbps": kbps, "psnr": psnr, "ssimulacra2": ssimulacra2, "size": limit}
    target = _target(wanted, lossless, effort)
    asked = effort is not None or any(value is not None for value in wanted.values())
    if as_set and recursive:
        raise typer.BadParameter("--set takes a folder as one set, -r the files in it: they exclude each other")
    others: dict[str, Counter[str]] = {}
    inputs = collect(listed(files or (), files_from), PICTURES, recursive, folders=as_set, others=others)
    if not quiet:
        _name_others(others)
    inputs = [replace(i, medium=SET if as_set else medium_of(i.source)) for i in inputs]
    first = next((shown(i.source) for i in inputs if i.medium is SET), None)
    if first is not None and (asked or tile is not None):
        options = f"{_options(*RATES, 'tile', 'effort')} do not go with it"
        raise typer.BadParameter(f"{first} is a set of samples, every one of which is kept: {options}")
    if first is None and block is not None:
        raise typer.BadParameter("--block goes with sets of samples, and there is none")
    todo = plan(inputs, output, stdout, encoded_name, recursive)
    units = {"image": tile, "set": block, "video": group}
    task = Encoding(Codecs(model, device, _workers(jobs, todo)), target, units, strip, verify, force, low_delay)
    _run("encoding", todo, task, encoded_line, jobs, keep_going, as_json, quiet, _skipped(todo, skip_existing, force))


@app.command("decode", epilog=_EXAMPLES["decode"])
def decode_command(
    files: LecFiles = None,
    output: Output = None,
    stdout: Stdout = False,
    region: Annotated[
        str | None,
        typer.Option("--region", help="Decode this part only.", metavar="X,Y,WIDTH,HEIGHT"),
    ] = None,
    depth: Annotated[
        int | None, typer.Option("--depth", help="Bits a sample, 8 or 16; the file's by default.", callback=_depth)
    ] = None,
    item: Annotated[
        list[str] | None,
        typer.Option("--item", help="Decode this item of a set only, from 0; may be repeated.", metavar="N or A-B"),
    ] = None,
    frames: Annotated[
        str | None,
        typer.Option("--frames", help="Decode these frames of a video only, from 0.", metavar="N or A-B"),
    ] = None,
    start: Annotated[
        float | None, typer.Option("--from", help="Decode a video or a sound from this second on.", min=0)
    ] = None,
    stop: Annotated[
        float | None, typer.Option("--to", help="Decode a video or a sound up to this second.", min=0)
    ] = None,
    form: Annotated[
        str | None,
        typer.Option("--format", help="Suffix of outputs without a name: png by default.", callback=_form),
    ] = None,
    strip: Annotated[bool, typer.Option("--strip", help="Write no EXIF, XMP and ICC profile.")] = False,
    recursive: Recursive = False,
    files_from: FilesFrom = None,
    jobs: Jobs = 1,
    keep_going: KeepGoing = True,
    model: Model = None,
    device: Device = "cpu",
    force: Force = False,
    skip_existing: SkipExisting = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Decompress files: photo.png.lec -> photo.png, images.npy.lec -> images.npy, clip.mp4.lec -> clip.mp4.

    A video becomes what the suffix of -o says: .mp4 or .mov (H.264 at CRF 12), .mkv (FFV1), .y4m; a sound .wav, .flac,
    .ogg, .opus, .mp3 or .m4a. A set becomes .npy, .npz, .idx, -ubyte (both also .gz), and with -o DIR/ a picture for
    each item.
    """
    part: Part | None = None if region is None else _region(region)
    if part is not None and item:
        raise typer.BadParameter("--region is of a picture, --item of a set: they exclude each other")
    if item:
        part = Items(tuple(_numbers(item)))
    if frames is not None or start is not None or stop is not None:
        if part is not None or (frames is not None and (start is not None or stop is not None)):
            raise typer.BadParameter("--region, --item, --frames and --from or --to exclude each other")
        part = Frames(start or 0.0, stop, True) if frames is None else _frames(frames)
    found = collect(listed(files or (), files_from), LEC, recursive)
    headers = opened(i.source for i in found)
    inputs = [replace(i, medium=MEDIA[headers[i.source].layout.name]) if i.source in headers else i for i in found]
    if len(inputs) == 1 and inputs[0].medium is SET and output and is_folder(output) and not (recursive or stdout):
        todo = [Job(inputs[0].source, Path(output), medium=SET, folder=True)]
    else:
        back = partial(decoded_name, form=form or "")
        todo = plan(inputs, output, stdout, back, recursive, partial(back, whole=True))
    task = Decoding(Codecs(model, device, _workers(jobs, todo)), part, depth, strip, force, headers)
    _run("decoding", todo, task, decoded_line, jobs, keep_going, as_json, quiet, _skipped(todo, skip_existing, force))


@app.command("info", epilog=_EXAMPLES["info"])
def info_command(
    files: LecFiles = None, recursive: Recursive = False, files_from: FilesFrom = None, as_json: Json = False
) -> None:
    """Say what files hold, without decoding them."""
    from .. import info

    failed = False
    for input in collect(listed(files or (), files_from), LEC, recursive):
        try:
            if input.error is not None:
                raise input.error
            file = open_lec(input.source)
            facts = info(file)
        except (OSError, MemoryError) as error:
            complain(input.source, error)
            failed = True
            if as_json:
                failure = {"error": reason(error, input.source), "kind": type(error).__name__}
                print(json.dumps({"file": input.source, "status": "error", **failure}))
            continue
        if as_json:
            print(json.dumps({"file": input.source, "status": "ok", **facts}))
            continue
        known = facts["model"] or "not found (--model or LECODEC_MODELS may point at it when decoding)"
        if file.header.codec == LOSSLESS and file.header.parse_digest == NO_DIGEST:
            known = "none is needed"
        rates = {name: f"{facts[name]:.4f}" for name in ("bpp", "bpd")}
        methods = ", ".join(f"{count} {name}" for name, count in (facts["methods"] or {}).items()) or None
        texts = {**facts, **file.header.describe(), **rates, "methods": methods, "model": known}
        print(shown(input.source))
        for name, value in texts.items():
            if value is not None:
                print(f"  {name:<17} {escaped(str(value))}")
    raise typer.Exit(1 if failed else 0)


@app.command("test", epilog=_EXAMPLES["test"])
def test_command(
    files: LecFiles = None,
    recursive: Recursive = False,
    files_from: FilesFrom = None,
    jobs: Jobs = 1,
    keep_going: KeepGoing = True,
    model: Model = None,
    device: Device = "cpu",
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Check that files are whole; writes nothing."""
    todo = [Job(input.source, error=input.error) for input in collect(listed(files or (), files_from), LEC, recursive)]
    task = Testing(Codecs(model, device, _workers(jobs, todo)))
    _run("testing", todo, task, tested_line, jobs, keep_going, as_json, quiet, writes=False)


models_app = typer.Typer(**{**SETTINGS, "no_args_is_help": False})
app.add_typer(models_app, name="models")


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


@models_app.command("import", epilog=_EXAMPLES["import"])
def import_command(
    network: Annotated[str, typer.Argument(help="The network: compressai:NAME.", metavar="NETWORK")],
    checkpoint: Annotated[Path, typer.Argument(help="A checkpoint with its weights.", metavar="CHECKPOINT")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Model file to write (.safetensors).")],
    name: Annotated[str | None, typer.Option("--name", help="Name of the model; the file's by default.")] = None,
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


@app.command("train", epilog=_EXAMPLES["train"])
def train_command(
    recipe: Annotated[
        str, typer.Argument(help="What to train, and how: a file, or the name of a shipped recipe.", metavar="RECIPE")
    ],
    resume: Annotated[bool, typer.Option("--resume", help="Continue from the run's last checkpoint.")] = False,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="Change one setting of the recipe, or a part of one: a.b=1.", metavar="KEY=VALUE"),
    ] = None,
    fields: Annotated[
        str | None,
        typer.Option(
            "--fields",
            help="List what recipes of a kind (image, photo, circuit, video, sound) may set, and exit.",
            callback=_print_fields,
            is_eager=True,
            metavar="KIND",
        ),
    ] = None,
) -> None:
    """Train a model as a recipe says."""
    with one_sentence(recipe):
        overrides = dict(_setting(text) for text in settings or [])
        from ..train.run import train

        train(recipe, resume=resume, overrides=overrides)


@app.command("freeze", epilog=_EXAMPLES["freeze"])
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
        from ..train.freeze import freeze

        def say(text: str) -> None:
            tell(str(run), shown(text))

        freeze(run, output, name=name, overwrite=force, calibrate=calibrate, say=say)
        _say_model(run, output)


def _say_model(source: Path, output: Path) -> None:
    """What has become of a run or a checkpoint."""
    from ..codec.model_file import read_card

    card = read_card(output)
    kind, size = escaped(str(card.card["kind"])), sized(os.path.getsize(output))
    print(f"{shown(source)} -> {shown(output)}: model {escaped(card.name)} ({kind}, {size})")


def _run(
    label: str,
    todo: Sequence[Job],
    task: Task,
    line: Callable[[Mapping[str, Any]], str],
    jobs: int,
    keep_going: bool,
    as_json: bool,
    quiet: bool,
    skipped: Collection[Job] = (),
    writes: bool = True,
) -> NoReturn:
    """Do a command's jobs, but for those that are skipped, report on them, and exit."""
    to_stdout = writes and todo[0].destination is None
    if to_stdout and as_json:
        raise typer.BadParameter("--json writes to standard output, where the data goes")
    warnings.simplefilter("ignore")  # Pillow's remarks on odd files: what matters ends as an error or a note
    if not quiet:
        warnings.simplefilter("always", ModelWarning)
    report = Report(line, len(todo), as_json=as_json, quiet=quiet, to_stdout=to_stdout)
    for job in skipped:
        report.skip(job)
    left = [job for job in todo if job not in skipped]
    with promptly_interrupted(report.summary):
        try:
            with progress(label, len(left), quiet) as tick:
                run(left, task, report, workers=_workers(jobs, todo), keep_going=keep_going, tick=tick)
        except ModelUnavailable as error:
            complain(str(error), error.__cause__ or error)
            raise typer.Exit(1) from None
    report.summary()
    raise typer.Exit(report.code)


def _skipped(todo: Sequence[Job], wanted: bool, force: bool) -> frozenset[Job]:
    """The jobs whose outputs are there, if those are to be skipped."""
    if not wanted:
        return frozenset()
    if force:
        raise typer.BadParameter("--skip-existing keeps what exists, -f overwrites it: they exclude each other")
    return frozenset(job for job in todo if job.error is None and job.destination and job.destination.is_file())


def _name_others(others: Mapping[str, Counter[str]]) -> None:
    """Say which files in folders are no pictures by their names."""
    for folder, counts in others.items():
        counts = Counter({suffix: count for suffix, count in counts.items() if suffix not in LEC})
        if kinds := [f"{suffix or 'no suffix'} ({count})" for suffix, count in counts.most_common()]:
            more = f" and {len(kinds) - 8} other kinds" if len(kinds) > 8 else ""
            tell(
                folder,
                f"note: {counts.total()} files passed over, no pictures by their names: {', '.join(kinds[:8])}{more}",
            )


def _workers(jobs: int, todo: Sequence[Job]) -> int:
    """How many threads -j means."""
    return min(jobs or cores(), len(todo))


def _bytes(text: str) -> int:
    """A size: 50000, 50kB (a kB is 1000), 50KiB (a KiB is 1024), 1.5MB."""
    pattern = r"(\d{1,15}(?:\.\d{0,15})?|\.\d{1,15})\s*(?:([kmg])(i?))?b?"
    found = re.fullmatch(pattern, text.strip(), re.I | re.A)
    number, prefix, binary = found.groups() if found else ("0", "", "")
    size = int(float(number) * (1024 if binary else 1000) ** (" kmg".index(prefix.lower()) if prefix else 0))
    if not size:
        raise typer.BadParameter(f"--size {text}: expected a size such as 50000, 50kB, 50KiB or 1.5MB")
    return size


def _target(wanted: Mapping[str, float | None], lossless: bool, effort: int | None) -> Target:
    """The target that the options ask for."""
    try:
        return Target.of(wanted, lossless=lossless, effort=EFFORTS[0] if effort is None else effort)
    except Conflict:
        options = _options(*RATES)
        if lossless:
            raise typer.BadParameter(f"--lossless keeps every sample: {options} do not go with it") from None
        raise typer.BadParameter(f"{options} exclude each other") from None


def _options(*names: str) -> str:
    """`-q, --bpp and --size`"""
    options = ["-q" if name == "quality" else f"--{name}" for name in names]
    return f"{', '.join(options[:-1])} and {options[-1]}"


def _region(text: str) -> Region:
    """X,Y,WIDTH,HEIGHT, the last two above 0."""
    if not re.fullmatch(r"\d{1,9},\d{1,9},0*[1-9]\d{0,8},0*[1-9]\d{0,8}", text, re.A):
        raise typer.BadParameter(f"--region {text}: expected X,Y,WIDTH,HEIGHT in pixels")
    return Region(*map(int, text.split(",")))


def _numbers(texts: Sequence[str]) -> list[int]:
    """Numbers of items, single ones and ranges, both ends included: 5, 3-10."""
    numbers: list[int] = []
    for text in texts:
        found = re.fullmatch(r"(\d{1,10})(?:-(\d{1,10}))?", text.strip(), re.A)
        first, last = (int(found[1]), int(found[2] or found[1])) if found else (1, 0)
        if first > last or last - first + len(numbers) >= MAX_PIXELS:
            raise typer.BadParameter(f"--item {text}: expected a number or a range such as 3-10")
        numbers += range(first, last + 1)
    return numbers


def _frames(text: str) -> Frames:
    """Numbers of frames, both ends included: 5, 3-10."""
    found = re.fullmatch(r"(\d{1,9})(?:-(\d{1,9}))?", text.strip(), re.A)
    first, last = (int(found[1]), int(found[2] or found[1])) if found else (1, 0)
    if first > last:
        raise typer.BadParameter(f"--frames {text}: expected a number or a range such as 3-10")
    return Frames(first, last + 1)


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
