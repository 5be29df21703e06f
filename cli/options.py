"""Options that several commands have, declared once."""

from __future__ import annotations

from typing import Annotated, Any

import typer

__all__ = ["EXAMPLES", "SETTINGS", "Device", "FilesFrom", "Force", "Json", "Quiet", "SkipExisting"]

SETTINGS: dict[str, Any] = {
    "no_args_is_help": True,
    "add_completion": False,
    "rich_markup_mode": None,
    "pretty_exceptions_enable": False,
    "context_settings": {"help_option_names": ["-h", "--help"]},
}
"""Settings of every group of commands."""

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

Quiet = Annotated[bool, typer.Option("--quiet", help="Print nothing but errors.")]
Device = Annotated[str, typer.Option("--device", help="Where the networks run: cpu or cuda.")]
Force = Annotated[bool, typer.Option("-f", "--force", help="Overwrite existing outputs.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, one object a line.")]
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
            "encode train-*.tar -o coded/ -j 0       # -> coded/train-000.lec.tar, …, member by member",
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
        "adapt": (
            "adapt scans/ -o scans.safetensors",
            "encode new/*.png --model scans.safetensors -o coded/",
            "decode coded/*.lec --model scans.safetensors -o back/",
        ),
        "import": ("models import compressai:mbt2018-mean checkpoint.pth.tar -o mean.safetensors",),
    }.items()
}
"""What `--help` of each command ends with."""
