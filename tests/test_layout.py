"""The shape of the package: which way imports go, what importing costs, and that the docstrings' examples run."""

from __future__ import annotations

import ast
import doctest
import importlib
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import manual
import pytest

import lecodec
from lecodec.codec.kinds import KINDS
from lecodec.codec.media.named import named

ROOT = Path(lecodec.__file__).parent
PACKAGES = ("bitstream", "cli", "codec", "entropy", "eval", "train")
BELOW = {
    "errors": set(),
    "bitstream": {"errors"},
    "entropy": {"errors"},
    "codec": {"entropy", "bitstream", "errors"},
    "eval.quality": {"codec", "errors"},
    "eval.codecs": {"eval.quality", "codec", "bitstream", "errors"},
    "eval.tasks": {"eval.codecs", "eval.quality", "codec", "errors"},
    "eval.measure": {"eval.tasks", "eval.codecs", "eval.quality", "codec", "bitstream", "errors", "lecodec"},
    "eval.figures": {"eval.measure", "eval.tasks", "eval.codecs", "eval.quality", "errors"},
    "eval.report": {"eval.figures", "eval.measure", "eval.tasks", "eval.codecs", "eval.quality", "bitstream", "errors"},
    "eval": {"eval.report", "eval.figures", "eval.measure", "eval.tasks", "eval.codecs", "eval.quality", "codec"}
    | {"bitstream", "errors"},
    "train": {"eval.quality", "codec", "entropy", "bitstream", "errors"},
    "lecodec": {"codec", "bitstream", "errors"},
    "cli": {"train", "eval", "eval.measure", "codec", "bitstream", "errors", "lecodec"},
    "__main__": {"cli"},
}
"""Which parts each part may import; "lecodec" is the root's public API. A folder in a folder is a part if listed."""


def modules() -> list[Path]:
    return sorted([*ROOT.glob("*.py"), *(path for name in PACKAGES for path in (ROOT / name).rglob("*.py"))])


def part_of(path: Path) -> str:
    names = path.relative_to(ROOT).with_suffix("").parts
    within = ".".join(names[:2])
    return "lecodec" if names == ("__init__",) else within if within in BELOW else names[0]


def module_at(names: tuple[str, ...]) -> Path | None:
    """The file of a module of this package."""
    for path in (ROOT.joinpath(*names, "__init__.py"), ROOT.joinpath(*names).with_suffix(".py")):
        if path.is_file():
            return path
    return None


@cache
def imports_of(path: Path) -> tuple[tuple[Path | None, int], ...]:
    """Each module of this package that is imported (also inside functions, also for types only), and None for each
    absolute import of it.
    """
    return tuple(_imports_of(path))


def _imports_of(path: Path) -> Iterator[tuple[Path | None, int]]:
    package = path.relative_to(ROOT).parent.parts
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((None, node.lineno) for alias in node.names if alias.name.split(".")[0] == "lecodec")
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            if (node.module or "").split(".")[0] == "lecodec":
                yield None, node.lineno
        elif isinstance(node, ast.ImportFrom):
            base = (*package[: len(package) - (node.level - 1)], *(node.module.split(".") if node.module else ()))
            for alias in node.names:
                found = module_at((*base, alias.name)) or module_at(base)
                assert found is not None, f"{path.relative_to(ROOT)}:{node.lineno} imports what there is not"
                yield found, node.lineno


def circles(arrows: dict[str, set[str]]) -> list[str]:
    """What is in a circle of arrows, or leads from one circle to another."""
    left = dict(arrows)
    while True:
        inner = {a for a in left if left[a] & left.keys() and any(a in left[b] for b in left)}
        if len(inner) == len(left):
            return sorted(inner)
        left = {a: left[a] for a in inner}


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_go_one_way(path: Path) -> None:
    part = part_of(path)
    for target, line in imports_of(path):
        where = f"{path.relative_to(ROOT)}:{line}"
        assert target is not None, f"{where} imports lecodec absolutely"
        assert part_of(target) in {part, *BELOW[part]}, f"{where}: {part} must not import {part_of(target)}"


def arrows_between(name: Callable[[Path], str]) -> dict[str, set[str]]:
    arrows: dict[str, set[str]] = {}
    for path in modules():
        found = {name(target) for target, _ in imports_of(path) if target is not None}
        arrows.setdefault(name(path), set()).update(found - {name(path)})
    return arrows


def test_no_modules_import_each_other_in_a_circle() -> None:
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": {"a"}}) == ["b", "c"]
    assert not circles(arrows_between(lambda path: str(path.relative_to(ROOT))))


def test_no_folders_import_each_other_in_a_circle() -> None:
    """Layouts are made of the fields of bitstream/, whose header is made of layouts: one folder here."""

    def folder_of(path: Path) -> str:
        name = str((path if path.parent == ROOT else path.parent).relative_to(ROOT))
        return "bitstream" if name == "bitstream/layouts" else name

    assert not circles(arrows_between(folder_of))


def test_what_the_table_of_kinds_names_is_there() -> None:
    pytest.importorskip("pydantic")
    for kind in KINDS.values():
        for what in filter(None, (kind.load, kind.domain, kind.recipe, kind.train, kind.freeze)):
            assert callable(named(what)), what


def test_every_folder_of_the_package_is_installed() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    found = {f"lecodec.{path.parent.relative_to(ROOT)}".replace("/", ".") for path in modules() if path.parent != ROOT}
    assert set(settings["packages"]) == {"lecodec", *found}


@pytest.mark.parametrize(
    ("statement", "absent"),
    [
        ("import lecodec", "torch numpy constriction typer rich av"),
        ("import lecodec; lecodec.CodecError", "torch numpy constriction typer"),
        ("import lecodec.cli.main", "torch numpy constriction rich tarfile base64 http.server"),
        ("import lecodec.bitstream, lecodec.codec.registry", "torch numpy constriction typer"),
        ("from lecodec.codec.registry import list_models; list_models()", "torch numpy constriction typer"),
        ("import lecodec.codec.media.picture", "torch constriction typer"),
    ],
)
def test_importing_is_cheap(statement: str, absent: str) -> None:
    code = f"import sys; {statement}; found = set({absent.split()}) & set(sys.modules); assert not found, found"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT / "tests")


def test_loading_a_model_imports_no_compiler(tiny_model: Path) -> None:
    """torch's compiler and sympy cost 1.5 s to import; some innocent calls pull them in."""
    absent = "torch._dynamo torchvision lightning matplotlib scipy pytorch_msssim pydantic typer sympy".split()
    code = f"import sys, lecodec; lecodec.load(model={str(tiny_model)!r}); "
    code += f"found = set({absent}) & set(sys.modules); assert not found, found"
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
    for document in (*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")):
        for link in re.findall(r"\]\(([^)#:]+)\)", document.read_text(encoding="utf-8")):
            assert (document.parent / link).exists(), f"{document.name}: {link}"


def test_the_manual_page_says_what_help_says() -> None:
    assert manual.PAGE.read_text(encoding="utf-8") == manual.manual(), "make manual writes it anew"


def test_the_first_screen_shows_a_picture() -> None:
    first = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()[:40]
    links = [link for line in first for link in re.findall(r"!\[[^]]*\]\(([^)]+)\)", line)]
    assert links and all((ROOT / link).stat().st_size < 400_000 for link in links)
