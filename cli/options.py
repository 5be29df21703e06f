"""Options that several commands have, declared once, and how `--help` shows all of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, TypeVar

import typer
import typer.core

__all__ = [
    "EXAMPLES",
    "SETTINGS",
    "CodecNames",
    "Command",
    "Device",
    "FilesFrom",
    "Force",
    "Jobs",
    "Json",
    "KeepGoing",
    "LecFiles",
    "Limit",
    "Model",
    "Output",
    "Processes",
    "Quiet",
    "RayAddress",
    "Recursive",
    "Settings",
    "SkipExisting",
    "Stdout",
    "command",
]

_F = TypeVar("_F", bound=Callable[..., Any])

SETTINGS: dict[str, Any] = {
    "no_args_is_help": True,
    "add_completion": False,
    "rich_markup_mode": None,
    "suggest_commands": False,  # click does so already
    "pretty_exceptions_enable": False,
    "context_settings": {"help_option_names": ["-h", "--help"]},
}
"""Settings of every group of commands."""

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
Jobs = Annotated[
    int | None,
    typer.Option(
        "-j", "--jobs", help="Files at a time; 0 for one a core; by default 1, with --ray all.", min=0, metavar="N"
    ),
]
Processes = Annotated[
    bool,
    typer.Option(
        "--processes", help="With -j: processes, each with the model in memory, instead of threads; for many files."
    ),
]
KeepGoing = Annotated[
    bool, typer.Option("--keep-going/--no-keep-going", help="After a failure go on with the other files.")
]
FilesFrom = Annotated[
    str | None,
    typer.Option(
        "--files-from",
        help="Take more inputs from a file, a name a line (or each ended by a zero byte); - for standard input.",
        metavar="FILE",
    ),
]
SkipExisting = Annotated[
    bool, typer.Option("--skip-existing", help="Pass over inputs whose output exists: go on after an interrupt.")
]

RayAddress = Annotated[
    str | None,
    typer.Option(
        "--ray",
        help="Work on the nodes of a Ray cluster, which share a file system: its address, auto, or local for this "
        "machine.",
        metavar="ADDRESS",
    ),
]
Quiet = Annotated[bool, typer.Option("--quiet", help="Print nothing but errors.")]
Device = Annotated[str, typer.Option("--device", help="Where the networks run: cpu or cuda.", metavar="DEVICE")]
Force = Annotated[bool, typer.Option("-f", "--force", help="Overwrite existing outputs.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, one object a line.")]
CodecNames = typer.Option(
    "--codecs",
    help="What to compare, with commas: lecodec, lecodec:MODEL, lecodec@FILE, jpeg, and so on.",
    metavar="A,B,…",
)
Settings = Annotated[
    list[str] | None,
    typer.Option("--settings", help="Settings of a codec instead of its own ladder.", metavar="CODEC=A,B,…"),
]
Limit = Annotated[int | None, typer.Option("--limit", help="Take only the first N.", min=1, metavar="N")]


class Command(typer.core.TyperCommand):
    """A command whose help names its arguments as the line of usage does, without types."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        for title, records in self.records(ctx).items():
            if records:
                with formatter.section(title):
                    formatter.write_dl(records)

    def records(self, ctx: Any) -> dict[str, list[tuple[str, str]]]:
        """Arguments and options, as shown, with what is said of them; the manual page has the same."""
        found: dict[str, list[tuple[str, str]]] = {"Arguments": [], "Options": []}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is not None and parameter.param_type_name == "argument":
                found["Arguments"].append((record[0].partition(" <")[0], record[1].replace("  [required]", "")))
            elif record is not None:
                found["Options"].append(record)
        return found


def command(app: typer.Typer, name: str, summary: str) -> Callable[[_F], _F]:
    """Declare a command. name: the last word of it; summary: what the list of commands says."""
    examples = EXAMPLES[name]
    return app.command(name, cls=Command, short_help=summary, epilog=examples)


EXAMPLES = {
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
            "encode -r photos/ -o coded/ --ray auto --skip-existing",
            "encode train-*.tar -o coded/ -j 0       # -> coded/train-000.lec.tar, …, member by member",
        ),
        "decode": (
            "decode photo.png.lec                    # -> photo.png",
            "decode -r coded/ -o back/ --format webp",
            "decode big.png.lec --region 0,0,640,480 -o part.png",
            "decode images.npy.lec --item 3-10 -o some.npy",
            "decode clip.mp4.lec --from 12 --to 15.5 -o part.mkv",
        ),
        "info": (
            "info photo.png.lec                      # size, rate, model, metadata",
            "info -r coded/ --json",
        ),
        "test": (
            "test photo.png.lec",
            "test -r coded/ -j 0                     # all below a folder, a file on each core",
        ),
        "view": (
            "view photo.png.lec                      # -> photo.png.lec.html",
            "view photo.png.lec --original photo.png -o compared.html",
            "view photo.png.lec --serve",
        ),
        "models": ("models                                  # those that are found, and where",),
        "train": (
            "train image --set name=mine --set train=[photos/] --set minutes=60",
            "train image --set name=mine --set train=[photos/] --set minutes=60 --resume",
            "train set --set name=tiles --set data=tiles.npy",
            "train --fields image                    # what can be set",
        ),
        "adapt": (
            "adapt scans/ -o scans.safetensors",
            "encode new/*.png --model scans.safetensors -o coded/",
            "decode coded/*.lec --model scans.safetensors -o back/",
        ),
        "freeze": (
            "freeze runs/mine -o mine.safetensors",
            "encode photo.png --model mine.safetensors",
        ),
        "import": ("models import compressai:mbt2018-mean checkpoint.pth.tar -o mean.safetensors",),
        "rd": (
            "eval rd photos/                         # tables and a plot in rd/",
            "eval rd photos/ --codecs lecodec,lecodec:effort=9,avif,jxl --anchor avif -o mine/",
        ),
        "lossless": ("eval lossless photos/ digits=digits.npy --codecs lecodec,png,jxl",),
        "bench": ("eval bench photos/ --codecs lecodec,jpeg,avif --limit 5",),
        "video": ("eval video clip.mp4 --codecs lecodec,x264 --frames 33",),
        "sound": ("eval sound talks/ --codecs lecodec,opus --settings lecodec=6,9,12",),
        "task": (
            "eval task photos/ -o run/               # goes on if it is stopped and run again",
            "eval task photos/ --tasks text,mask --codecs lecodec,lecodec@mine.safetensors,avif -o run/",
            "eval task --tasks mine.yaml -o run/",
        ),
        "vote": ("eval vote photos/ --codecs lecodec,avif -o vote.html",),
        "report": ("eval report run/ -o report/             # report/index.html",),
    }.items()
}
"""What `--help` of each command ends with."""
