"""The commands that code: encode, decode, info, test. Options and what they ask for.

    coding -> values (what options say) -> paths (which files) -> run -> jobs (many of them) -> encoding, decoding (one)

Conventions of zstd and flac. Inputs are kept; an existing output is refused without `-f`; `-o FILE` goes with one
input and `-o DIR/` with many; `-r` takes folders; `-` and `-c` are pipes.

What does the work is imported inside the commands: `info`, which takes the time of a few imports, needs none of it.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from ..bitstream import LOSSLESS, NO_DIGEST
from ..codec.codec import RATES
from ..codec.media.medium import MEDIA, SET, medium_of_file
from ..codec.media.part import Frames, Items, Part
from .console import complain, decoded_line, encoded_line, escaped, reason, shown, tell, tested_line
from .habits import check_named
from .jobs import Job
from .options import (
    Device,
    FilesFrom,
    Force,
    Jobs,
    Json,
    KeepGoing,
    LecFiles,
    Model,
    Output,
    Processes,
    Quiet,
    RayAddress,
    Recursive,
    SkipExisting,
    Stdout,
)
from .paths import LEC, PICTURES, collect, decoded_name, encoded_name, is_folder, listed, plan
from .tasks import open_lec, opened
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

__all__ = ["decode_command", "encode_command", "info_command", "test_command"]

NoAudio = Annotated[bool, typer.Option("--no-audio", help="Leave sound and subtitles of videos out.")]
Inputs = Annotated[
    list[str] | None,
    typer.Argument(
        help="Pictures, videos, sounds, or sets of samples (.npy, .npz, .npz:NAME, .idx, -ubyte, the last two also "
        ".gz); shards (.tar), whose members are coded; - for a picture, a video or a sound on standard input.",
        metavar="FILE",
    ),
]


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
            help="1 (fast, the default) to 9 (14 times as long): smaller files of pictures, videos.",
            min=1,
            max=9,
            metavar="N",
        ),
    ] = None,
    exact_pixels: Annotated[
        bool,
        typer.Option(
            "--exact-pixels", help="Make the pixels of a picture the same on every machine: slower to decode."
        ),
    ] = False,
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
            help="Frames a group of a video; 64 by default, fewer of large frames, 32 with --low-delay.",
            min=1,
            max=64,
            metavar="N",
        ),
    ] = None,
    low_delay: Annotated[
        bool,
        typer.Option(
            "--low-delay",
            help="Code each frame of a video from earlier ones, not from later ones: larger files.",
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
    jobs: Jobs = None,
    processes: Processes = False,
    ray: RayAddress = None,
    keep_going: KeepGoing = True,
    model: Model = None,
    device: Device = "cpu",
    force: Force = False,
    skip_existing: SkipExisting = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Compress pictures, videos, sounds and sets of samples: photo.png -> photo.png.lec, song.flac -> song.flac.lec."""
    from .encoding import Encoding
    from .run import Manner, codecs_for, run_command, skipped_of

    limit = None if size is None else bytes_of(size)
    wanted = {"quality": quality, "bpp": bpp, "kbps": kbps, "psnr": psnr, "ssimulacra2": ssimulacra2, "size": limit}
    target = target_of(wanted, lossless, effort, exact_pixels)
    asked = effort is not None or any(value is not None for value in wanted.values())
    if as_set and recursive:
        raise typer.BadParameter("--set takes a folder as one set, -r the files in it: they exclude each other")
    others: dict[str, Counter[str]] = {}
    names = listed(files or (), files_from)
    check_named(names, output, encodes=True)
    inputs = collect(names, PICTURES, recursive, folders=as_set, others=others)
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
    manner = Manner(jobs, processes, ray, device != "cpu", keep_going, as_json, quiet)
    task = Encoding(
        codecs_for(manner, model, device, todo), target, units, strip, verify, force, low_delay, no_audio, live=live
    )
    skipped = skipped_of(todo, skip_existing, force)
    run_command("encoding", todo, task, encoded_line, manner, skipped)


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
    jobs: Jobs = None,
    processes: Processes = False,
    ray: RayAddress = None,
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
    from .decoding import Decoding
    from .run import Manner, codecs_for, run_command, skipped_of

    part: Part | None = None if region is None else region_of(region)
    if part is not None and item:
        raise typer.BadParameter("--region is of a picture, --item of a set: they exclude each other")
    if item:
        part = Items(tuple(numbers_of(item)))
    if frames is not None or start is not None or stop is not None:
        if part is not None or (frames is not None and (start is not None or stop is not None)):
            raise typer.BadParameter("--region, --item, --frames and --from or --to exclude each other")
        part = Frames(start or 0.0, stop, True) if frames is None else frames_of(frames)
    names = listed(files or (), files_from)
    check_named(names, output, encodes=False)
    found = collect(names, LEC, recursive)
    headers = opened(i.source for i in found)
    inputs = [replace(i, medium=MEDIA[headers[i.source].layout.name]) if i.source in headers else i for i in found]
    if len(inputs) == 1 and inputs[0].medium is SET and output and is_folder(output) and not (recursive or stdout):
        todo = [Job(inputs[0].source, Path(output), medium=SET, folder=True)]
    else:
        back = partial(decoded_name, form=form or "")
        todo = plan(inputs, output, stdout, back, recursive, partial(back, whole=True))
    manner = Manner(jobs, processes, ray, device != "cpu", keep_going, as_json, quiet)
    task = Decoding(codecs_for(manner, model, device, todo), part, depth, strip, force, headers, form or "", no_audio)
    skipped = skipped_of(todo, skip_existing, force)
    run_command("decoding", todo, task, decoded_line, manner, skipped)


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


def test_command(
    files: LecFiles = None,
    recursive: Recursive = False,
    files_from: FilesFrom = None,
    jobs: Jobs = None,
    processes: Processes = False,
    ray: RayAddress = None,
    keep_going: KeepGoing = True,
    model: Model = None,
    device: Device = "cpu",
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Check that files are whole; writes nothing."""
    from .decoding import Testing
    from .run import Manner, codecs_for, run_command

    todo = [Job(input.source, error=input.error) for input in collect(listed(files or (), files_from), LEC, recursive)]
    manner = Manner(jobs, processes, ray, device != "cpu", keep_going, as_json, quiet)
    task = Testing(codecs_for(manner, model, device, todo))
    run_command("testing", todo, task, tested_line, manner, writes=False)


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
