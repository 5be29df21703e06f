"""The shape of the package: which way imports go, what importing costs, and that the docstrings' examples run."""

from __future__ import annotations

import ast
import doctest
import importlib
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

import lecodec

ROOT = Path(lecodec.__file__).parent
PACKAGES = ("bitstream", "codec", "entropy", "eval", "train")
BELOW = {
    "errors": set(),
    "kinds": set(),
    "bitstream": {"errors"},
    "entropy": {"errors"},
    "codec": {"entropy", "bitstream", "errors", "kinds"},
    "eval": {"codec", "entropy", "bitstream", "errors", "lecodec"},
    "train": {"eval", "codec", "entropy", "bitstream", "errors", "kinds"},
    "lecodec": {"codec", "bitstream", "errors"},
    "jobs": {"bitstream"},
    "loaded": {"codec", "bitstream"},
    "tasks": {"codec", "bitstream", "errors", "jobs", "loaded", "paths"},
    "console": {"jobs"},
    "options": set(),
    "cli_eval": {"eval", "console", "jobs", "options"},
    "paths": {"console", "jobs", "errors"},
    "cli": {
        "train",
        "codec",
        "bitstream",
        "cli_eval",
        "console",
        "jobs",
        "loaded",
        "options",
        "paths",
        "tasks",
        "lecodec",
    },
    "__main__": {"cli"},
}
"""Which parts each part may import; "lecodec" is the root's public API."""


def modules() -> list[Path]:
    return sorted([*ROOT.glob("*.py"), *(path for name in PACKAGES for path in (ROOT / name).rglob("*.py"))])


def part_of(path: Path) -> str:
    relative = path.relative_to(ROOT)
    name = relative.parts[0].removesuffix(".py")
    return "lecodec" if name == "__init__" else name


def imports_of(path: Path) -> Iterator[tuple[str, int]]:
    """Each import of a part of this package (also inside functions), and each absolute import of it as "!"."""
    relative = path.relative_to(ROOT)
    package = relative.parent.parts
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (("!", node.lineno) for alias in node.names if alias.name.split(".")[0] == "lecodec")
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            if (node.module or "").split(".")[0] == "lecodec":
                yield "!", node.lineno
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - (node.level - 1)]
            if base:
                continue  # inside its own folder
            if node.module:
                yield node.module.split(".")[0], node.lineno
            else:
                for alias in node.names:
                    is_part = (ROOT / alias.name).is_dir() or (ROOT / f"{alias.name}.py").is_file()
                    yield alias.name if is_part else "lecodec", node.lineno


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_go_one_way(path: Path) -> None:
    part = part_of(path)
    for target, line in imports_of(path):
        where = f"{path.relative_to(ROOT)}:{line}"
        assert target != "!", f"{where} imports lecodec absolutely"
        assert target == part or target in BELOW[part], f"{where}: {part} must not import {target}"


def test_every_folder_of_the_package_is_installed() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    found = {f"lecodec.{path.parent.relative_to(ROOT)}".replace("/", ".") for path in modules() if path.parent != ROOT}
    assert set(settings["packages"]) == {"lecodec", *found}


@pytest.mark.parametrize(
    ("statement", "absent"),
    [
        ("import lecodec", "torch numpy constriction typer rich av"),
        ("import lecodec; lecodec.CodecError", "torch numpy constriction typer"),
        ("import lecodec.cli", "torch numpy constriction rich"),
        ("import lecodec.bitstream, lecodec.codec.registry", "torch numpy constriction typer"),
        ("import lecodec.codec.media", "torch constriction typer"),
        ("import lecodec; lecodec.load", "torchvision lightning matplotlib scipy pytorch_msssim pydantic typer sympy"),
    ],
)
def test_importing_is_cheap(statement: str, absent: str) -> None:
    code = f"import sys; {statement}; found = set({absent.split()}) & set(sys.modules); assert not found, found"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT / "tests")


def test_loading_a_model_imports_no_compiler(tiny_model: Path) -> None:
    """torch's compiler and sympy cost 1.5 s to import; some innocent calls pull them in."""
    code = f"import sys, lecodec; lecodec.load(model={str(tiny_model)!r}); assert 'torch._dynamo' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT / "tests")


def test_the_public_names_are_there() -> None:
    for name in lecodec.__all__:
        assert getattr(lecodec, name) is not None
    assert set(lecodec.__all__) <= set(dir(lecodec))
    with pytest.raises(AttributeError):
        _ = lecodec.no_such_name
    assert issubclass(lecodec.CodecError, OSError)


def test_the_one_liners(tmp_path: Path, tiny_default: Path, picture) -> None:
    from PIL import Image

    Image.fromarray(picture).save(tmp_path / "p.png")
    data = lecodec.encode(picture)
    assert lecodec.encode(tmp_path / "p.png") == lecodec.encode(Image.fromarray(picture)) == data
    assert lecodec.encode(str(tmp_path / "p.png"), 20) != data
    (tmp_path / "p.lec").write_bytes(data)
    assert (lecodec.decode(data) == lecodec.decode(tmp_path / "p.lec")).all()
    facts = lecodec.info(data)
    assert facts == lecodec.info(str(tmp_path / "p.lec"))
    assert (facts["width"], facts["height"], facts["model"]) == (70, 50, "tiny")
    assert facts["bpp"] == 8 * len(data) / (70 * 50)
    with pytest.raises(lecodec.InputError):
        lecodec.encode(tmp_path / "missing.png")
    with pytest.raises(lecodec.NotLecFile):
        lecodec.decode(b"something else")


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(ROOT)))
def test_examples_in_docstrings_run(path: Path, tiny_default: Path) -> None:
    if not re.search(r"^\s*>>> ", path.read_text(encoding="utf-8"), re.M):
        return  # many modules have none, and importing some is slow
    name = ".".join(["lecodec", *path.relative_to(ROOT).with_suffix("").parts]).removesuffix(".__init__")
    result = doctest.testmod(importlib.import_module(name))
    assert result.attempted and not result.failed


def test_links_of_the_documents_lead_somewhere() -> None:
    for document in ROOT.glob("*.md"):
        for link in re.findall(r"\]\(([^)#:]+)\)", document.read_text(encoding="utf-8")):
            assert (ROOT / link).exists(), f"{document.name}: {link}"
