"""The command line: the program, its commands by name, and what it exits with; what they mean is said elsewhere.

    main -> coding (encode, decode, info, test) -> run -> jobs        main -> models (models, train, freeze, adapt)
    main -> view (a page for a browser)                               main -> evaluate (what measures)

    lecodec encode | decode | info | test | view | models | train | freeze | adapt | eval …

Exit codes: 0 all good, 1 some file failed, 2 wrong usage, 130 interrupted, 143 terminated.

Heavy modules (torch, numpy, rich) are imported inside the commands that need them: `lecodec info` needs none. Of Pillow
only what registers the plug-in is there from the start, because importing the package brings it.
"""

from __future__ import annotations

import copy
import os
import sys
import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Annotated, Any, NoReturn

import typer
import typer.core

from ..errors import ModelWarning
from .coding import decode_command, encode_command, info_command, test_command
from .console import complain, escaping, leave_stdout, tell
from .evaluate import eval_app
from .habits import hinting
from .models import adapt_command, freeze_command, models_app, train_command
from .options import SETTINGS, command
from .view import view_command

__all__ = ["app", "main", "program"]


class _Commands(typer.core.TyperGroup):
    """All commands. What they say of wrong usage reaches the terminal escaped."""

    def make_context(self, *args: Any, **kwargs: Any) -> Any:
        with escaping(), hinting():
            return super().make_context(*args, **kwargs)

    def invoke(self, ctx: Any) -> Any:
        with escaping(), hinting():
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


command(app, "encode", "Compress pictures, videos, sounds and sets of samples.")(encode_command)
command(app, "decode", "Decompress files.")(decode_command)
command(app, "info", "Say what files hold, without decoding them.")(info_command)
command(app, "test", "Check that files are whole.")(test_command)
command(app, "view", "Make a page that decodes a picture in a browser.")(view_command)
command(app, "train", "Train a model as a recipe says.")(train_command)
command(app, "freeze", "Turn a training run into a model file.")(freeze_command)
command(app, "adapt", "Fit an image model to pictures of one kind.")(adapt_command)
