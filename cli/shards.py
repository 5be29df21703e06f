"""Shards: tar files of many small files, as WebDataset's, coded member by member while they pass through.

    x.tar -> members, some at a time -> jobs -> the task of the command -> members of the new tar, in their order

What has no suffix of a picture, sound or video (labels, captions) is kept as it is, and so is a member that cannot be
coded, which is reported like a file that cannot. Names stay, with `.lec` behind them, and so do times and modes. A
shard is never held in memory: at most WINDOW bytes of its members are. The new tar appears when it is whole.
"""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, BinaryIO

from ..bitstream import LecFile, atomic_write, attributes_of
from ..codec.media.medium import PICTURE, SOUND, VIDEO, Medium
from ..codec.media.tar import members_of
from ..codec.workers.pool import Pool, Threads, Work, WorkerLost, done
from ..errors import InputError
from .console import Report
from .decoding import Decoding, Testing
from .encoding import Encoding
from .jobs import Bunch, Feed, Job, Record, expected, run
from .paths import decoded_name, encoded_name

__all__ = ["ShardTask", "run_shards"]

WINDOW = 64 << 20
"""Bytes of members that are worked on at a time, and MOST of them."""
MOST = 512


@dataclass(frozen=True)
class Member(Job):
    """A job on a member of a shard. source: `x.tar:NAME`, for messages. name, content: of the member; done: what it
    becomes, name and bytes.
    """

    name: str = ""
    content: bytes = b""
    done: list[tuple[str, bytes]] = field(default_factory=list, compare=False)


class MemberEncoding(Encoding):
    """Encodes members to bytes in memory."""

    def kind(self, job: Job) -> Any:
        assert isinstance(job, Member)
        if self.target.kind not in ("quality", "lossless") or job.medium is not PICTURE:
            return None
        from ..codec.media.picture import peek_picture

        return peek_picture(io.BytesIO(job.content))

    def _signal(self, job: Job) -> Any:
        assert isinstance(job, Member)
        return job.medium.read(io.BytesIO(job.content))

    @contextmanager
    def _output(self, job: Job) -> Iterator[BinaryIO]:
        assert isinstance(job, Member)
        file = io.BytesIO()
        yield file
        job.done.append((encoded_name(job.name), file.getvalue()))


class MemberDecoding(Decoding):
    """Decodes members to files in memory."""

    def kind(self, job: Job) -> Any:
        return None

    def _file(self, job: Job) -> LecFile:
        assert isinstance(job, Member)
        return LecFile.open(job.content)

    def _write(self, job: Job, medium: Medium, result: Any) -> tuple[dict[str, Any], tuple[str, ...]]:
        assert isinstance(job, Member)
        name = decoded_name(job.name, medium)
        if medium is PICTURE:
            file = io.BytesIO()
            written = medium.write(result, file, self.part)
            job.done.append((name, file.getvalue()))
            return written
        with TemporaryDirectory() as folder:  # what FFmpeg writes has to be a file
            path = Path(folder, os.path.basename(name))
            written = medium.write(result, path, self.part)
            job.done.append((name, path.read_bytes()))
        return written


class MemberTesting(Testing):
    """Tests members."""

    def _file(self, job: Job) -> LecFile:
        assert isinstance(job, Member)
        return LecFile.open(job.content)


ShardTask = Encoding | Decoding | Testing
_OF_MEMBERS = {Encoding: MemberEncoding, Decoding: MemberDecoding, Testing: MemberTesting}
_VERBS = {Encoding: "encode", Decoding: "decode", Testing: "test"}


def run_shards(
    jobs: Sequence[Job],
    task: ShardTask,
    report: Report,
    *,
    pool: Pool,
    keep_going: bool = True,
    say: Callable[[str], None] = lambda text: None,
) -> None:
    """Do what the task does to each member of each shard. report: gets their records in their order, and one of a shard
    itself if that fails; its total grows by the members. pool: threads do the members of a shard; of processes and
    actors each does a shard, side by side with others.
    """

    def show(record: Record) -> None:
        report.total += 1
        report(record)

    if isinstance(pool, Threads) or not keep_going:
        for job in jobs:
            if keep_going or not report.code:
                _run_shard(job, task, show, pool if isinstance(pool, Threads) else Threads(), keep_going)
        return
    feed = Feed(([pair] for pair in enumerate(jobs)), True)
    waiting: dict[int, list[Record]] = {}
    shown = 0
    for bunch, records in done(feed, Work(_in_one_thread, task), pool, apart=feed.apart, say=say):
        ((number, job),) = bunch
        waiting[number] = [Record(job, records)] if isinstance(records, WorkerLost) else records
        while shown in waiting:
            for record in waiting.pop(shown):
                show(record)
            shown += 1


def _in_one_thread(task: ShardTask, bunch: Bunch) -> list[Record]:
    ((_, job),) = bunch
    records: list[Record] = []
    _run_shard(job, task, records.append, Threads(), True)
    return records


def _run_shard(job: Job, task: ShardTask, report: Callable[[Record], None], pool: Pool, keep_going: bool) -> None:
    """report: gets the records, without the members' contents."""
    # Every field is handed on as it is: locks and what is loaded are shared.
    of_members = _OF_MEMBERS[type(task)](**{name: getattr(task, name) for name in task.__dataclass_fields__})
    failed = members = 0

    def count(record: Record) -> None:
        nonlocal failed, members
        failed += record.error is not None
        members += 1
        report(replace(record, job=Job(record.job.source)))

    try:
        if job.error is not None:
            raise job.error
        with ExitStack() as stack:
            source = stack.enter_context(open(job.source, "rb"))
            out = None if job.destination is None else _output(job, of_members, stack)
            for window in _windows(source, job, isinstance(task, Encoding)):
                todo = [member for _, member in window if member is not None]
                if todo:
                    run(todo, of_members, count, pool=pool, keep_going=keep_going)
                if failed and not keep_going:
                    raise InputError("given up after a member that failed")
                if out is not None:
                    for info, member in window:
                        _add(out, info, member)
            if not members:
                raise InputError(f"has no member to {_VERBS[type(task)]}")
    except Exception as error:
        if not expected(error):
            raise
        report(Record(job, error.with_traceback(None)))


_Pair = tuple[tuple[tarfile.TarInfo, bytes], Member | None]


def _output(job: Job, task: ShardTask, stack: ExitStack) -> tarfile.TarFile:
    assert job.destination is not None
    if job.makes_folders:
        job.destination.parent.mkdir(parents=True, exist_ok=True)
    stack.enter_context(attributes_of(job.source))
    file = stack.enter_context(atomic_write(job.destination, overwrite=job.again or getattr(task, "force", False)))
    return stack.enter_context(tarfile.open(fileobj=file, mode="w|", format=tarfile.PAX_FORMAT))


def _windows(source: BinaryIO, job: Job, encodes: bool) -> Iterator[list[_Pair]]:
    """The members of a shard with their contents, and their jobs where there is something to do, some at a time."""
    window: list[_Pair] = []
    held = 0
    for info, content in members_of(source):
        window.append(((info, content), _member(job, info, content, encodes)))
        held += len(content)
        if held >= WINDOW or len(window) >= MOST:
            yield window
            window, held = [], 0
    if window:
        yield window


def _member(job: Job, info: tarfile.TarInfo, content: bytes, encodes: bool) -> Member | None:
    """The job on a member, if there is one."""
    if not info.isreg():
        return None
    medium = next((m for m in (PICTURE, SOUND, VIDEO) if m.claims(info.name)), None) if encodes else PICTURE
    if medium is None or (not encodes and not info.name.lower().endswith(".lec")):
        return None
    return Member(f"{job.source}:{info.name}", medium=medium, name=info.name, content=content)


def _add(out: tarfile.TarFile, found: tuple[tarfile.TarInfo, bytes], member: Member | None) -> None:
    """Write what became of a member, or the member as it was."""
    info, content = found
    name, content = member.done[0] if member is not None and member.done else (info.name, content)
    info = _described(info, name, len(content))
    out.addfile(info, io.BytesIO(content) if info.isreg() else None)


def _described(info: tarfile.TarInfo, name: str, size: int) -> tarfile.TarInfo:
    """The description of a member with another name and size."""
    found = info.replace(name=name, deep=True)
    found.size = size if info.isreg() else 0
    found.pax_headers = {key: value for key, value in info.pax_headers.items() if key not in ("path", "size")}
    return found
