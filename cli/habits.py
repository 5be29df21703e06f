"""What users of other programs type: the command or option that it is called here, said where usage is refused.

    lecodec x.png, lecodec -d x.lec, lecodec encode --rm x.png -> refused by click -> one more sentence

Nothing is guessed and done: what is typed by habit from zstd, FFmpeg or cjxl does not always mean the same here.
"""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import typer

from ..codec.media.medium import MEDIA
from .paths import is_folder

__all__ = ["check_named", "hinting"]

_DECODE = "lecodec decode FILE.lec"
COMMANDS = {
    **dict.fromkeys(("compress", "c", "-z", "--compress", "enc"), "lecodec encode FILE"),
    **dict.fromkeys(("decompress", "uncompress", "d", "x", "extract", "-d", "--decompress", "dec"), _DECODE),
    **dict.fromkeys(("list", "ls", "l", "-l", "--list", "identify", "probe"), "lecodec info FILE.lec"),
    **dict.fromkeys(("verify", "check", "t", "-t", "--test"), "lecodec test FILE.lec"),
    **dict.fromkeys(("-V", "-v", "version"), "lecodec --version"),
    **dict.fromkeys(("zoo", "model"), "lecodec models"),
    **dict.fromkeys(("help", "man", "-?"), "lecodec --help"),
    **dict.fromkeys(("bench", "benchmark", "compare", "report"), "lecodec eval --help"),
}
"""Words in the place of a command -> what to type."""
OPTIONS = {
    **dict.fromkeys(("-k", "--keep"), "inputs are always kept"),
    **dict.fromkeys(("--rm", "--remove"), "inputs are never removed"),
    **dict.fromkeys(("-T", "-T0", "--threads", "-threads", "--num_threads"), "-j N works on N files at a time"),
    **dict.fromkeys(("-i", "--input"), "inputs are named without an option"),
    **dict.fromkeys(("-y", "--overwrite"), "-f overwrites"),
    **dict.fromkeys(("-d", "--decompress"), _DECODE),
    **dict.fromkeys(("-t", "--test"), "lecodec test FILE.lec"),
    **dict.fromkeys(("-l", "--list"), "lecodec info FILE.lec"),
    **dict.fromkeys([f"-{n}" for n in range(1, 10)], "--effort 1 to 9 is how long it takes, -q 1 to 100 the quality"),
    **dict.fromkeys(("-e", "--best", "--fast", "-m"), "--effort 1 to 9 is how long it takes"),
    **dict.fromkeys(("--crf", "-crf"), "-q 1 to 100 is the quality, 100 the best"),
    **dict.fromkeys(("--ultra", "--long"), "--effort 9 is the most"),
    **dict.fromkeys(("-b", "--bitrate"), "--bpp of pictures and --kbps of videos and sounds are rates"),
    **dict.fromkeys(("-r",), "folders are walked through by encode, decode and test"),
}
"""Options that a command does not have -> what to type, or why not."""


@contextmanager
def hinting() -> Iterator[None]:
    """What is said of an unknown command or option ends with what is meant, where that is known."""
    try:
        yield
    except Exception as error:
        usage: Any = error  # click's errors, which typer brings under a name of its own
        text = getattr(usage, "message", None)
        if hasattr(usage, "exit_code") and isinstance(text, str) and (said := _hint(usage)):
            usage.message = f"{text.rstrip('.')}: {'try ' * said.startswith('lecodec ')}{said}"
            if getattr(usage, "possibilities", None):
                usage.possibilities = None
        raise


def _hint(error: Any) -> str:
    command, option = getattr(error, "command_name", None), getattr(error, "option_name", None)
    of_program = getattr(getattr(error, "ctx", None), "parent", None) is None
    if command is not None:
        if not of_program:
            return ""
        if os.path.isfile(command):
            return f"lecodec {'decode' if command.lower().endswith('.lec') else 'encode'} {command}"
        return COMMANDS.get(command, "")
    return (COMMANDS if of_program else OPTIONS).get(option or "", "")


def check_named(names: Sequence[str], output: str | None, encodes: bool) -> None:
    """Refuse `lecodec encode IN OUT`, as cjxl and cwebp are called, before IN is written elsewhere, and an output of
    `encode` that is named like a picture, a sound or a video. Raises typer.BadParameter.
    """
    if output is None and len(names) == 2 and os.path.exists(names[0]) and not os.path.lexists(names[1]):
        suffix = os.path.splitext(names[1])[1].lower()
        if suffix and (suffix == ".lec") == encodes and not glob.has_magic(names[1]):
            raise typer.BadParameter(f"{names[1]} does not exist; -o {names[1]} names an output")
    if not encodes or output is None or is_folder(output) or os.path.lexists(output):
        return
    if any(medium.claims(output) for medium in MEDIA.values()):
        raise typer.BadParameter(f"-o {output}: what is written is a .lec file; end its name with .lec")
