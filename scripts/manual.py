"""The manual page, docs/lecodec.1: what `--help` of every command says, as roff. `make manual` writes it.

    the declared commands -> names, options, help -> roff -> docs/lecodec.1 -> share/man/man1 of the wheel

>>> roff("a-b\\\\c")
'a\\\\-b\\\\\\\\c'
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer.main

import lecodec
from lecodec.cli.main import app
from lecodec.cli.options import Command

__all__ = ["PAGE", "manual", "roff"]

PAGE = Path(__file__).parents[1] / "docs" / "lecodec.1"
ENVIRONMENT = {
    "LECODEC_MODELS": "Folders and files of models, with colons: what is looked through beside the shipped ones.",
    "LECODEC_MAX_PIXELS": "Pixels that a picture may have, or all items of a set; 268435456 by default.",
}
CODES = {0: "all good", 1: "some file failed", 2: "wrong usage", 130: "interrupted", 143: "terminated"}


def roff(text: str) -> str:
    """Plain text as roff has it: backslashes and hyphens escaped, no line that begins with a control character."""
    text = text.replace("\\", "\\\\").replace("-", "\\-").replace("…", "...")
    return re.sub(r"^([.'])", r"\\&\1", text, flags=re.M)


def commands(group: Any, words: tuple[str, ...] = ("lecodec",)) -> Iterator[tuple[tuple[str, ...], Any]]:
    """All commands below a group, in the order of the help."""
    for name, each in group.commands.items():
        yield (*words, name), each
        if hasattr(each, "commands"):
            yield from commands(each, (*words, name))


def section(words: tuple[str, ...], command: Any) -> Iterator[str]:
    """What the page says of one command."""
    context = command.context_class(command, info_name=words[-1])
    records = Command.records(command, context)
    if words == ("lecodec", "eval"):  # its commands follow
        return
    arguments = " ".join(name for name, _ in records["Arguments"])
    yield f".SS {roff(' '.join(words))}"
    yield f".B {roff(' '.join(words))}"
    yield f".I [options] {roff(arguments)}".rstrip()
    for paragraph in (command.help or "").split("\n\n"):
        yield ".PP"
        yield roff(" ".join(paragraph.split()))
    for title in ("Arguments", "Options"):
        for name, text in records[title]:
            if name.startswith("-h,"):
                continue
            yield ".TP"
            yield f".B {roff(name)}"
            yield roff(text)
    if examples := (command.epilog or "").partition("Examples:\n")[2]:
        yield from (
            ".PP",
            "Examples:",
            ".PP",
            ".nf",
            ".RS",
            roff(re.sub("^  ", "", examples, flags=re.M)),
            ".RE",
            ".fi",
        )


def manual() -> str:
    """The whole page."""
    root: Any = typer.main.get_command(app)
    lines = [
        '.\\" Written by scripts/manual.py from the texts of --help: change those.',
        f'.TH LECODEC 1 "" "lecodec {lecodec.__version__}" "User Commands"',
        ".SH NAME",
        "lecodec \\- compress pictures, videos, sounds and sets of samples with learned models",
        ".SH SYNOPSIS",
        ".B lecodec",
        ".I command [options] [file ...]",
        ".SH DESCRIPTION",
        roff(root.help),
        "Inputs are kept. An existing output is refused without",
        ".BR \\-f .",
        "Files are decoded by every later version, on every machine.",
        ".SH COMMANDS",
    ]
    for words, command in commands(root):
        lines += section(words, command)
    lines.append(".SH EXIT STATUS")
    for code, meaning in CODES.items():
        lines += [".TP", f".B {code}", f"{meaning.capitalize()}."]
    lines.append(".SH ENVIRONMENT")
    for name, text in ENVIRONMENT.items():
        lines += [".TP", f".B {name}", roff(text)]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    text = manual()
    PAGE.write_text(text, encoding="utf-8")
    print(f"{PAGE.name}: {len(text.splitlines())} lines", file=sys.stderr)
