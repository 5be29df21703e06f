"""What a run has measured already: a table of keys and values in one SQLite file.

    digest of everything that a result depends on -> the result, as JSON

A key is a digest over the item's samples, the codec's and the task's descriptions (with versions and digests of
weights) and the setting: whatever changes one of these is measured anew, and nothing else is. Each `put` is one
transaction: a killed run loses what was in flight, never what was written.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from ...errors import InputError

__all__ = ["Cache", "key_of"]


def key_of(*parts: object) -> str:
    """32 hexadecimal digits over the parts, which have a text that says all of them (strings, numbers)."""
    text = json.dumps([part if isinstance(part, str | int | float) else repr(part) for part in parts])
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


class Cache:
    """A file of results. Used by one process; others wait up to a minute for it.

    Raises InputError when the file is none of this kind or cannot be written.
    """

    def __init__(self, path: Path):
        self.path = path
        try:
            self._file = sqlite3.connect(path, timeout=60)
            self._file.execute("PRAGMA journal_mode = WAL")
            self._file.execute("CREATE TABLE IF NOT EXISTS results (key TEXT PRIMARY KEY, value TEXT) WITHOUT ROWID")
            self._file.commit()
            columns = [row[1] for row in self._file.execute("PRAGMA table_info(results)")]
        except sqlite3.Error as error:
            raise self._unusable(error) from None
        if columns != ["key", "value"]:
            self._file.close()
            raise InputError(
                f"{self.path}: the results kept there are of another version (columns {', '.join(columns)}, expected "
                "key, value): remove it to measure anew"
            )

    def __enter__(self) -> Cache:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._file.close()

    def get(self, keys: Iterable[str]) -> dict[str, Any]:
        """The values of those keys that are there."""
        found: dict[str, Any] = {}
        wanted = list(keys)
        try:
            for start in range(0, len(wanted), 500):
                part = wanted[start : start + 500]
                marks = ",".join("?" * len(part))
                rows = self._file.execute(f"SELECT key, value FROM results WHERE key IN ({marks})", part)
                found.update((key, json.loads(value)) for key, value in rows)
        except (sqlite3.Error, ValueError) as error:
            raise self._unusable(error) from None
        return found

    def put(self, values: Mapping[str, Any]) -> None:
        """Add values that JSON can hold, all or none; older ones of the same keys are replaced."""
        rows = [(key, json.dumps(value)) for key, value in values.items()]
        try:
            with self._file:
                self._file.executemany("INSERT OR REPLACE INTO results VALUES (?, ?)", rows)
        except sqlite3.Error as error:
            raise self._unusable(error) from None

    def _unusable(self, error: Exception) -> InputError:
        if isinstance(error, sqlite3.OperationalError):  # full, locked, read-only: nothing is wrong with what is there
            return InputError(f"{self.path}: cannot be written ({error}); what is kept there is whole: run again then")
        return InputError(f"{self.path}: the results kept there cannot be used ({error}): remove it to measure anew")
