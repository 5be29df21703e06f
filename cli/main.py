"""The command line: arguments and exit codes; what they mean is passed on to the modules that do the work.

    main -> values (what options say) -> paths (which files) -> jobs (many of them) -> tasks (one of them) -> codecs
    main -> console (how it looks)       main -> models (models, train, freeze), evaluate (what measures)

    lecodec encode | decode | info | test | models | train | freeze | eval …

Conventions of zstd and flac. Inputs are kept; an existing output is refused without `-f`; `-o FILE` goes with one
input and `-o DIR/` with many; `-r` takes folders; `-` and `-c` are pipes. One bad file does not stop the others: each
gets one sentence on stderr. Reports come in the order of the inputs. Ctrl-C leaves no temporary file behind.

Exit codes: 0 all good, 1 some file failed, 2 wrong usage, 130 interrupted, 143 terminated.

Heavy modules (torch, numpy, rich) are imported inside the commands that need them: `lecodec info` needs none. Of Pillow
only what registers the plug-in is there from the start, because importing the package brings it.
"""

from __future__ import annotations

import copy
import json
import os
import sys
import warnings
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
import typer.core

from ..bitstream import LOSSLESS, NO_DIGEST
from ..codec.codec import RATES
from ..codec.media.medium import MEDIA, SET, medium_of_file
from ..codec.media.part import Frames, Items, Part
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
    progress,
    reason,
    shown,
    tell,
    tested_line,
)
from .evaluate import eval_app
from .jobs import Job, cores, promptly_interrupted, run
from .models import adapt_command, freeze_command, models_app, train_command
from .options import SETTINGS, Device, FilesFrom, Force, Json, Quiet, SkipExisting, command
from .paths import LEC, PICTURES, collect, decoded_name, encoded_name, is_folder, is_shard, listed, plan
from .shards import ShardTask, run_shards
from .tasks import Decoding, Encoding, Testing, open_lec, opened, worth_torch
from .values import (
    bytes_of,
    check_depth,
    check_positive,
    check_quality,
    check_score,
    check_suffix,
    check_tile,
    frames_of,
    numbers_of,
    option_names,
    region_of,
    target_of,
)

__all__ = ["app", "main", "program"]


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
    epilog="Exit codes: 0 all good, 1 some file failed, 2 wrong usage, 130 interrupted, 143 terminated. "
    "`lecodec COMMAND --help` says more of each, with examples.",
    **{**SETTINGS, "add_completion": True},
)
app.add_typer(eval_app, name="eval", short_help="Measure codecs: rates, quality, speed, what machines see.")
app.add_typer(models_app, name="models", short_help="List the models that are found, or import one.")

NoAudio = Annotated[bool, typer.Option("--no-audio", help="Leave sound and subtitles of videos out.")]
Inputs = Annotated[
    list[str] | None,
    typer.Argument(
        help="Pictures, videos, sounds, or sets of samples (.npy, .npz, .npz:NAME, .idx, -ubyte, the last two also "
        ".gz); shards (.tar), whose members are coded; - for a picture, a video or a sound on standard input.",
        metavar="FILE",
    ),
]
LecFiles = Annotated[list[str] | None, typer.Argument(help=".lec files to read; - for standard input.", metavar="FILE")]
Output = Annotated[
    str | None,
    typer.Option(
        "-o",
        "--output",
        help="Output: a file; with several inputs a folder, DIR/; - for a pipe. By default next to the input.",
        metavar="FILE",
    ),
]
Stdout = Annotated[bool, typer.Option("-c", "--stdout", help="Write to standard output.")]
Model = Annotated[
    str | None,
    typer.Option(
        "--model", help="Name or file of a model (see `lecodec models`); chosen by itself by default.", metavar="MODEL"
    ),
]
Recursive = Annotated[bool, typer.Option("-r", "--recursive", help="Take the files in folders.")]
Jobs = Annotated[int, typer.Option("-j", "--jobs", help="Files at a time; 0 for one a core.", min=0, metavar="N")]
Processes = Annotated[
    bool,
    typer.Option(
        "--processes", help="With -j: processes, each with the model in memory, instead of threads; for many files."
    ),
]
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
            arguments = sys.argv[1:] if argv is None else list(argv)
            _with_only(arguments[0] if arguments else "")(args=arguments, prog_name="lecodec")
        except SystemExit as exit:
            code = exit.code
        sys.stdout.flush()  # a full disk behind stdout may show only here
    except OSError as error:
        complain("standard output", error)
        leave_stdout()
        code = 1
    raise SystemExit(code)


def _with_only(name: str) -> typer.Typer:
    """The program with one command alone, if there is one of this name: to build all of them takes longer than `info`
    takes to say what is in a file.
    """
    named = [command for command in app.registered_commands if command.name == name]
    if not named:
        return app
    small = copy.copy(app)
    small.registered_commands, small.registered_groups = named, []
    return small


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


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    pass


@command(app, "encode", "Compress pictures, videos, sounds and sets of samples.")
def encode_command(
    files: Inputs = None,
    output: Output = None,
    stdout: Stdout = False,
    quality: Annotated[
        float | None,
        typer.Option(
            "-q",
            "--quality",
            help="1 (small) to 100 (good), fractions allowed; 60 by default.",
            callback=check_quality,
            metavar="Q",
        ),
    ] = None,
    bpp: Annotated[
        float | None,
        typer.Option("--bpp", help="Instead of -q: bits a pixel to reach.", callback=check_positive, metavar="X"),
    ] = None,
    kbps: Annotated[
        float | None,
        typer.Option(
            "--kbps",
            help="Instead of -q: thousand bits a second to reach, of a sound or a video.",
            callback=check_positive,
            metavar="X",
        ),
    ] = None,
    psnr: Annotated[
        float | None,
        typer.Option("--psnr", help="Instead of -q: PSNR to reach, in dB.", callback=check_positive, metavar="DB"),
    ] = None,
    ssimulacra2: Annotated[
        float | None,
        typer.Option(
            "--ssimulacra2",
            help="Instead of -q: SSIMULACRA2 score to reach, up to 100.",
            callback=check_score,
            metavar="X",
        ),
    ] = None,
    size: Annotated[
        str | None,
        typer.Option("--size", help="Instead of -q: largest file, as 50000, 50kB, 50KiB, 1.5MB.", metavar="SIZE"),
    ] = None,
    tile: Annotated[
        int | None,
        typer.Option(
            "--tile",
            help="Side of the tiles of a picture in pixels, a multiple of 64; 0 for none. Tiles can be decoded alone. "
            "Pictures above 4 megapixels have some of 1024 by default.",
            callback=check_tile,
            metavar="N",
        ),
    ] = None,
    effort: Annotated[
        int | None,
        typer.Option(
            "--effort",
            help="1 (fast, the default) to 9 (14 times as long): smaller files of pictures.",
            min=1,
            max=9,
            metavar="N",
        ),
    ] = None,
    strip: Annotated[bool, typer.Option("--strip", help="Leave EXIF, XMP and ICC profile out.")] = False,
    lossless: Annotated[bool, typer.Option("--lossless", help="Keep every sample. Sets always are.")] = False,
    as_set: Annotated[
        bool, typer.Option("--set", help="Make one set of each folder of equal-sized pictures; without loss.")
    ] = False,
    block: Annotated[
        int | None,
        typer.Option("--block", help="Items a block of a set; 512 by default if they are small.", min=1, metavar="N"),
    ] = None,
    group: Annotated[
        int | None,
        typer.Option(
            "--group",
            help="Frames a group of a video; 8, 16 or 32 by default, as suits it.",
            min=1,
            max=32,
            metavar="N",
        ),
    ] = None,
    low_delay: Annotated[
        bool,
        typer.Option(
            "--low-delay",
            help="Code each frame of a video from the one before alone, not from later ones: larger files.",
        ),
    ] = False,
    no_audio: NoAudio = False,
    segment: Annotated[
        float | None,
        typer.Option(
            "--segment",
            help="Seconds a segment of a sound; 10 by default, 1 with --live.",
            min=0.02,
            max=60,
            metavar="SECONDS",
        ),
    ] = None,
    live: Annotated[
        bool, typer.Option("--live", help="Write a sound while it comes, a segment behind it: for pipes.")
    ] = False,
    verify: Annotated[
        bool | None,
        typer.Option("--verify/--no-verify", help="Decode each file before it appears; by default those without loss."),
    ] = None,
    recursive: Recursive = False,
    files_from: FilesFrom = None,
    jobs: Jobs = 1,
    processes: Processes = False,
    keep_going: KeepGoing = True,
    model: Model = None,
    device: Device = "cpu",
    force: Force = False,
    skip_existing: SkipExisting = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Compress pictures, videos, sounds and sets of samples: photo.png -> photo.png.lec, song.flac -> song.flac.lec."""
    limit = None if size is None else bytes_of(size)
    wanted = {"quality": quality, "bpp": bpp, "kbps": kbps, "psnr": psnr, "ssimulacra2": ssimulacra2, "size": limit}
    target = target_of(wanted, lossless, effort)
    asked = effort is not None or any(value is not None for value in wanted.values())
    if as_set and recursive:
        raise typer.BadParameter("--set takes a folder as one set, -r the files in it: they exclude each other")
    others: dict[str, Counter[str]] = {}
    inputs = collect(listed(files or (), files_from), PICTURES, recursive, folders=as_set, others=others)
    if not quiet:
        _name_others(others)
    inputs = [replace(i, medium=SET if as_set else medium_of_file(i.source)) for i in inputs]
    first = next((shown(i.source) for i in inputs if i.medium is SET), None)
    if first is not None and (asked or tile is not None):
        options = f"{option_names(*RATES, 'tile', 'effort')} do not go with it"
        raise typer.BadParameter(f"{first} is a set of samples, every one of which is kept: {options}")
    if first is None and block is not None:
        raise typer.BadParameter("--block goes with sets of samples, and there is none")
    todo = plan(inputs, output, stdout, encoded_name, recursive)
    units = {"image": tile, "set": block, "video": group, "sound": segment}
    codecs = Codecs(model, device, _workers(jobs, todo))
    task = Encoding(codecs, target, units, strip, verify, force, low_delay, no_audio, live=live)
    skipped = _skipped(todo, skip_existing, force)
    _run("encoding", todo, task, encoded_line, jobs, processes, keep_going, as_json, quiet, skipped)


@command(app, "decode", "Decompress files.")
def decode_command(
    files: LecFiles = None,
    output: Output = None,
    stdout: Stdout = False,
    region: Annotated[
        str | None,
        typer.Option("--region", help="Decode this part of a picture only, in pixels.", metavar="X,Y,WIDTH,HEIGHT"),
    ] = None,
    depth: Annotated[
        int | None,
        typer.Option(
            "--depth",
            help="Bits a sample of a picture, 8 or 16; the file's by default.",
            callback=check_depth,
            metavar="BITS",
        ),
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
        float | None,
        typer.Option("--from", help="Decode a video or a sound from this second on.", min=0, metavar="SECONDS"),
    ] = None,
    stop: Annotated[
        float | None,
        typer.Option("--to", help="Decode a video or a sound up to this second.", min=0, metavar="SECONDS"),
    ] = None,
    form: Annotated[
        str | None,
        typer.Option(
            "--format",
            help="Suffix of outputs that -o does not name; by default pictures become png. Of a video on a pipe: y4m, "
            "mkv, webm, yuv or rgb.",
            callback=check_suffix,
            metavar="SUFFIX",
        ),
    ] = None,
    strip: Annotated[bool, typer.Option("--strip", help="Write no EXIF, XMP and ICC profile.")] = False,
    no_audio: NoAudio = False,
    recursive: Recursive = False,
    files_from: FilesFrom = None,
    jobs: Jobs = 1,
    processes: Processes = False,
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
    part: Part | None = None if region is None else region_of(region)
    if part is not None and item:
        raise typer.BadParameter("--region is of a picture, --item of a set: they exclude each other")
    if item:
        part = Items(tuple(numbers_of(item)))
    if frames is not None or start is not None or stop is not None:
        if part is not None or (frames is not None and (start is not None or stop is not None)):
            raise typer.BadParameter("--region, --item, --frames and --from or --to exclude each other")
        part = Frames(start or 0.0, stop, True) if frames is None else frames_of(frames)
    found = collect(listed(files or (), files_from), LEC, recursive)
    headers = opened(i.source for i in found)
    inputs = [replace(i, medium=MEDIA[headers[i.source].layout.name]) if i.source in headers else i for i in found]
    if len(inputs) == 1 and inputs[0].medium is SET and output and is_folder(output) and not (recursive or stdout):
        todo = [Job(inputs[0].source, Path(output), medium=SET, folder=True)]
    else:
        back = partial(decoded_name, form=form or "")
        todo = plan(inputs, output, stdout, back, recursive, partial(back, whole=True))
    task = Decoding(
        Codecs(model, device, _workers(jobs, todo)), part, depth, strip, force, headers, form or "", no_audio
    )
    skipped = _skipped(todo, skip_existing, force)
    _run("decoding", todo, task, decoded_line, jobs, processes, keep_going, as_json, quiet, skipped)


@command(app, "info", "Say what files hold, without decoding them.")
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
        parts = ", ".join(f"{name} {count}" for name, count in (facts["parts"] or {}).items()) or None
        texts = {**facts, **file.header.describe(), **rates, "methods": methods, "parts": parts, "model": known}
        print(shown(input.source))
        for name, value in texts.items():
            if value is not None:
                print(f"  {name:<17} {escaped(str(value))}")
    raise typer.Exit(1 if failed else 0)


@command(app, "test", "Check that files are whole.")
def test_command(
    files: LecFiles = None,
    recursive: Recursive = False,
    files_from: FilesFrom = None,
    jobs: Jobs = 1,
    processes: Processes = False,
    keep_going: KeepGoing = True,
    model: Model = None,
    device: Device = "cpu",
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Check that files are whole; writes nothing."""
    todo = [Job(input.source, error=input.error) for input in collect(listed(files or (), files_from), LEC, recursive)]
    task = Testing(Codecs(model, device, _workers(jobs, todo)))
    _run("testing", todo, task, tested_line, jobs, processes, keep_going, as_json, quiet, writes=False)


command(app, "train", "Train a model as a recipe says.")(train_command)
command(app, "freeze", "Turn a training run into a model file.")(freeze_command)
command(app, "adapt", "Fit an image model to pictures of one kind.")(adapt_command)


def _run(
    label: str,
    todo: Sequence[Job],
    task: ShardTask,
    line: Callable[[Mapping[str, Any]], str],
    jobs: int,
    processes: bool,
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
    left = [job for job in todo if job not in skipped]
    shards = [job for job in left if is_shard(job.source)]
    left = [job for job in left if not is_shard(job.source)]
    if to_stdout and shards:
        raise typer.BadParameter("a shard is not written to a pipe: give -o a file or a folder")
    report = Report(line, len(todo) - len(shards), as_json=as_json, quiet=quiet, to_stdout=to_stdout)
    for job in skipped:
        report.skip(job)
    with promptly_interrupted(report.summary), _library(worth_torch(task, [*left, *shards])):
        try:
            with progress(label, len(left), quiet, getattr(task, "watch", None)) as tick:
                how = {"workers": _workers(jobs, todo), "keep_going": keep_going, "processes": processes}
                run(left, task, report, tick=tick, **how)
            if shards and (keep_going or not report.code):
                run_shards(shards, task, report, **how)
        except ModelUnavailable as error:
            complain(error.name, error.cause)
            raise typer.Exit(1) from None
    report.summary()
    raise typer.Exit(report.code)


@contextmanager
def _library(torch: bool) -> Iterator[None]:
    """torch computes inside, in processes that are begun there too, if that is wanted."""
    if not torch:
        yield
        return
    os.environ["LECODEC_RUNTIME"] = "torch"
    try:
        yield
    finally:
        del os.environ["LECODEC_RUNTIME"]


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
    return jobs or cores() if any(is_shard(job.source) for job in todo) else min(jobs or cores(), len(todo))
