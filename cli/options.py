"""Options that several commands have, declared once."""

from __future__ import annotations

from typing import Annotated, Any

import typer

__all__ = ["SETTINGS", "Device", "FilesFrom", "Force", "Quiet", "SkipExisting"]

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
