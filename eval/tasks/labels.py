"""What is true of the items of a folder: classes from file names, from folders or from a table, or texts from a table.

    folder -> names, in order -> class number or text of each, where somebody knows

| labels           | where the truth comes from                                                                        |
|------------------|---------------------------------------------------------------------------------------------------|
| `prefix`         | the number that the file's name begins with, as in `0001_n01443537_goldfish.JPEG`                 |
| `folders`        | the subfolder: the number that its name begins with, or its place among all subfolders by name    |
| FILE.csv or .tsv | lines `name,class` or `name,text`, with a tab in .tsv; a first line such as `file,label` is a     |
|                  | heading. Of texts, `name|text` and `name|text|spoken text` (the last counts) as well              |
| `none`           | nobody knows                                                                                      |
| `auto`           | `prefix` when all names have the form above, else `labels.csv` or `labels.tsv` inside the folder, |
|                  | else `folders` when there are only subfolders, else `none`; of texts the table, also              |
|                  | `metadata.csv`, else `none`                                                                       |

Classes are numbers from 0 on, or in a table all of them names: those that the network has, or, of a network without
names, counted by the alphabet. Subfolders without numbers are counted, which gives the right classes only when all of a
network's classes are there: `LabelledFolder.classes` tells the task how many there were. In a table of texts a name may
lack its suffix.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...errors import InputError

__all__ = ["Labelled", "LabelledFolder", "read_folder"]

_NUMBER = re.compile(r"\d+")
_IMAGENET = re.compile(r"\d{1,4}_n\d{8}(_|\.)")
_HEADINGS = ("label", "labels", "target", "category", "classes", "class_name", "transcript", "transcription")
_TABLES = ("labels.csv", "labels.tsv")
_TEXTS = (*_TABLES, "metadata.csv")


@dataclass(frozen=True)
class LabelledFolder:
    """names: in order, with / between a subfolder and its file. truths: class numbers or texts by name, without those
    that nobody knows. classes: how many subfolders were counted, None where the numbers were written. where: for the
    tables. class_names: by the alphabet, where the truths are names.
    """

    names: tuple[str, ...]
    truths: dict[str, Any]
    classes: int | None
    where: str
    class_names: tuple[str, ...] = ()

    def truth(self, name: str, *, needed: bool) -> Any:
        """What is true of an item, None where that is unknown. Raises InputError if it is needed."""
        truth = self.truths.get(name)
        if truth is None and needed:
            raise InputError(f"{name}: its name begins with no class number")
        return truth


class Labelled:
    """What the sources of a folder share. _found: of `read_folder`; labels: as given to it."""

    labels: str | Path
    _found: LabelledFolder

    @property
    def classes(self) -> int | None:
        """How many classes there are when truths are places among them, None when they were written as numbers."""
        return self._found.classes

    @property
    def class_names(self) -> tuple[str, ...]:
        """The names of all classes, by the alphabet, where truths are names."""
        return self._found.class_names

    def names(self) -> tuple[str, ...]:
        """Files, by name."""
        return self._found.names

    def truth(self, name: str) -> Any:
        """What is true of an item. Raises InputError for one that should have a class and has none."""
        return self._found.truth(name, needed=self.labels == "prefix")


def read_folder(folder: Path, labels: str | Path, *, texts: bool = False) -> LabelledFolder:
    """The files of a folder and what is known of them. labels: see the module's text; texts: whether they are texts.

    Hidden files are left out, and so is the table. Raises InputError: no folder, no files, a wrong table.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: not a directory")
    visible = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    files = [path.name for path in visible if path.is_file()]
    folders = [path for path in visible if path.is_dir()]
    if labels == "auto":
        labels = _guess(folder, files, folders, texts)
    if texts and labels in ("prefix", "folders"):
        raise InputError(f"texts come from a file .csv or .tsv, labels: {labels} gives classes")
    if labels == "folders":
        return _by_folder(folder, folders)
    if labels not in ("prefix", "none"):
        table = Path(labels)
        if table.suffix.lower() not in (".csv", ".tsv"):
            raise InputError(f"labels are prefix, folders, none, auto or a file .csv or .tsv, found {str(labels)!r}")
        names = _some(folder, [name for name in files if (folder / name).resolve() != table.resolve()])
        truths, named = (_texts(table, names), ()) if texts else _classes(table, names)
        return LabelledFolder(names, truths, None, f"{'texts' if texts else 'classes'} from {table.name}", named)
    names = _some(folder, [name for name in files if name not in (_TEXTS if texts else _TABLES)])
    if labels == "none":
        return LabelledFolder(names, {}, None, "without labels")
    truths = {name: int(found[0]) for name in names if (found := _NUMBER.match(name))}
    return LabelledFolder(names, truths, None, "classes from file names")


def _guess(folder: Path, files: list[str], folders: list[Path], texts: bool) -> str | Path:
    if texts:
        return next((folder / table for table in _TEXTS if table in files), "none")
    if files and all(_IMAGENET.match(name) for name in files):
        return "prefix"
    for table in _TABLES:
        if table in files:
            return folder / table
    return "folders" if folders and not files else "none"


def _by_folder(folder: Path, folders: list[Path]) -> LabelledFolder:
    if not folders:
        raise InputError(f"{folder}: holds no folders, one a class")
    numbers = [_NUMBER.match(path.name) for path in folders]
    written = all(numbers)
    truths = {}
    for place, (path, number) in enumerate(zip(folders, numbers, strict=True)):
        for file in sorted(path.iterdir()):
            if file.is_file() and not file.name.startswith("."):
                truths[f"{path.name}/{file.name}"] = int(number[0]) if written and number else place
    where = "classes from folders" if written else f"classes: {len(folders)} folders by name"
    return LabelledFolder(_some(folder, list(truths)), truths, None if written else len(folders), where)


def _some(folder: Path, names: list[str]) -> tuple[str, ...]:
    if not names:
        raise InputError(f"{folder}: holds no files")
    return tuple(names)


def _classes(table: Path, names: tuple[str, ...]) -> tuple[dict[str, Any], tuple[str, ...]]:
    """name -> class, a number or a name; all names. Items that are not there are passed over, but not all of them."""
    separator = "\t" if table.suffix.lower() == ".tsv" else ","
    truths: dict[str, str] = {}
    for number, line in _lines(table, "class", names):
        name, found, label = (part.strip().strip('"') for part in line.rpartition(separator))
        if not found or not name:
            raise InputError(f"{table}, line {number}: expected name{separator!r}class, found {line[:60]!r}")
        if not label or _is_number(label) != _is_number(next(iter(truths.values()), label)):
            raise InputError(f"{table}, line {number}: classes are all numbers or all names, found {label[:60]!r}")
        if truths.setdefault(name, label) != label:
            raise InputError(f"{table}, line {number}: {name} has two classes, {truths[name]} and {label}")
    known = _known(table, truths, {name: name for name in names})
    if all(map(_is_number, known.values())):
        return {name: int(label) for name, label in known.items()}, ()
    return known, tuple(sorted(set(truths.values())))


def _is_number(label: str) -> bool:
    return label.isascii() and label.isdigit()


def _texts(table: Path, names: tuple[str, ...]) -> dict[str, str]:
    """name -> text, as `_classes`."""
    truths: dict[str, str] = {}
    separator = "\t" if table.suffix.lower() == ".tsv" else ""
    for number, line in _lines(table, "text", names):
        separator = separator or ("|" if "|" in line else ",")  # the first line decides
        name, found, text = line.partition(separator)
        text = text.rpartition("|")[2] if separator == "|" else text
        if not found or not name.strip():
            raise InputError(f"{table}, line {number}: expected name{separator!r}text, found {line[:60]!r}")
        if separator == "," and text.strip()[:1] == '"' == text.strip()[-1:]:
            text = text.strip()[1:-1].replace('""', '"')
        truths[name.strip().strip('"')] = " ".join(text.split())
    return _known(table, truths, {Path(name).stem: name for name in names} | {name: name for name in names})


def _lines(table: Path, heading: str, names: Sequence[str]) -> Iterator[tuple[int, str]]:
    """The lines that are neither empty nor the heading, with their numbers. heading: what the last column may be
    called, besides _HEADINGS; names: of the items, of which a heading names none.
    """
    try:
        lines = table.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{table}: cannot read the labels: {reason}") from None
    for number, line in enumerate(lines, 1):
        cells = [cell.strip(' "') for cell in re.split(r"[,|\t]", line)]
        if number == 1 and cells[-1].lower() in (heading, *_HEADINGS) and cells[0] not in names:
            continue
        if line.strip():
            yield number, line


def _known(table: Path, truths: dict[str, Any], names: dict[str, str]) -> dict[str, Any]:
    """truths of the items that are there; names: what a table may call them -> their own."""
    known = {names[name]: truth for name, truth in truths.items() if name in names}
    if not known:
        raise InputError(f"{table}: none of its {len(truths)} names is a file of the folder")
    return known
