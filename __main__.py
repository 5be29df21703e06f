"""`python -m lecodec`: the command line."""

from __future__ import annotations

from .cli.main import program

if __name__ == "__main__":
    program()
