"""Statistics over items: the table's round trip, then figures against closed forms and scipy."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lecodec.errors import InputError
from lecodec.eval.machine.items import read_items, write_items
from lecodec.eval.machine.task import Answer, Coded

# --- items.tsv

texts = st.text(max_size=12)
numbers = st.floats(width=32) | st.sampled_from([math.nan, math.inf, -math.inf, 0.0])
shares = st.floats(0, 1) | st.just(math.nan)
coded = st.builds(
    Coded,
    source=texts,
    item=texts,
    codec=texts,
    setting=st.floats(-1e6, 1e6),
    bytes=st.integers(0, 10**15),
    units=st.integers(0, 10**12).map(float) | st.floats(0, 1e9),
    metrics=st.dictionaries(st.sampled_from(["psnr", "d_a.b", "t.x.score"]), numbers),
    answers=st.dictionaries(st.sampled_from(["top-1", "a.score", "text"]), st.builds(Answer, shares, shares, texts)),
)


def close(a: float, b: float) -> bool:
    return (math.isnan(a) and math.isnan(b)) or a == pytest.approx(b, rel=1e-6, abs=1e-300)


@settings(deadline=None, max_examples=150)
@given(rows=st.lists(coded, max_size=4, unique_by=lambda row: row.item), comments=st.lists(texts, max_size=3))
def test_what_is_read_is_what_was_written(tmp_path_factory, rows, comments):
    path = tmp_path_factory.getbasetemp() / "items.tsv"
    write_items(path, comments, rows)
    found, again = read_items(path)
    assert len(found) == len(comments)
    assert len(again) == len(rows)
    for a, b in zip(rows, again, strict=True):
        assert (a.source, a.item, a.codec, a.bytes) == (b.source, b.item, b.codec, b.bytes)
        assert close(a.setting, b.setting) and close(a.units, b.units)
        assert a.units == b.units or not a.units.is_integer()
        assert a.metrics.keys() == b.metrics.keys() and a.answers.keys() == b.answers.keys()
        assert all(close(a.metrics[name], b.metrics[name]) for name in a.metrics)
        for task, answer in a.answers.items():
            assert close(answer.score, b.answers[task].score) and close(answer.agreement, b.answers[task].agreement)
            assert answer.text == b.answers[task].text


def table(tmp_path: Path) -> Path:
    answers = {"top-1": Answer(1.0, 1.0, "goldfish\t97%")}
    rows = [Coded("photos", f"{i}.jpg", "jpeg", 5, 900 + i, 65536, {"psnr": 27.5}, answers) for i in range(2)]
    rows.append(Coded("sounds", "a.wav", "opus", 6, 700, 2.5))
    write_items(tmp_path / "items.tsv", ["a run", "of two\nlines"], rows)
    return tmp_path / "items.tsv"


def test_the_table_is_plain_to_read(tmp_path):
    lines = table(tmp_path).read_text(encoding="utf-8").splitlines()
    assert lines == [
        "# a run",
        "# of two lines",
        "source\titem\tcodec\tsetting\tbytes\tunits\tm.psnr\tt.top-1.score\tt.top-1.agreement\tt.top-1.text",
        "photos\t0.jpg\tjpeg\t5\t900\t65536\t27.5\t1\t1\tgoldfish\\t97%",
        "photos\t1.jpg\tjpeg\t5\t901\t65536\t27.5\t1\t1\tgoldfish\\t97%",
        "sounds\ta.wav\topus\t6\t700\t2.5\t\t\t\t",
    ]
    comments, rows = read_items(tmp_path / "items.tsv")
    assert comments == ["a run", "of two lines"]
    assert rows[0].answers["top-1"].text == "goldfish\t97%" and rows[2].answers == {} == rows[2].metrics


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("\t27.5\t1\t1\tgoldfish", "\t27.5\tx1\t1\tgoldfish", "line 4, column 't.top-1.score'.*'x1'"),
        ("\t27.5\t1\t1", "\t27.5\t1\t1.5", "line 4, column 't.top-1.agreement'.*0 to 1"),
        ("\t27.5\t1\t1", "\t27.5\t1\t", "line 4, column 't.top-1.agreement'.*number"),
        ("\t27.5\t", "\tloud\t", "line 4, column 'm.psnr'.*'loud'"),
        ("\t900\t", "\t90.5\t", "line 4, column 'bytes'.*whole"),
        ("\t900\t65536", "\t900\t-1", "line 4, column 'units'"),
        ("\tjpeg\t5\t", "\tjpeg\tnan\t", "line 4, column 'setting'"),
        ("goldfish\\t", "goldfish\\q", "line 4, column 't.top-1.text'.*backslash"),
        ("1.jpg", "0.jpg", "line 5.*already"),
        ("\tm.psnr", "", "line 4: 10 cells, but 9 columns"),
        ("\tm.psnr", "\tpsnr", "line 3: 'psnr' is neither"),
        ("\tm.psnr", "\tm.", "line 3: 'm.' is neither"),
        ("\tt.top-1.agreement", "\tm.agreement", "line 3: there is no column 't.top-1.agreement'"),
        ("\tt.top-1.text", "\tt.top-1.score", "line 3: there are two"),
        ("\tbytes", "\tsize", "line 3: column 5.*'bytes', found 'size'"),
        ("source\t", "", "line 3: column 1.*'source', found 'item'"),
        ("\t\t\t\t\n", "\t\t\t\n", "line 6: 9 cells"),
        ("\t\t\t\t\n", "\t\t\t\t", "line 6: .*cut off"),
        ("\t\t\t\t\n", "\t\t\t\t\n\n", "line 7: 1 cells"),
    ],
)
def test_a_damaged_table_is_told_where(tmp_path, old, new, expected):
    path = table(tmp_path)
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(InputError, match=expected):
        read_items(path)


def test_what_is_no_table_is_a_sentence(tmp_path):
    for content, expected in ((b"", "no line of column"), (b"# a\n", "no line of column"), (b"\xff\n", "no UTF-8")):
        (tmp_path / "x.tsv").write_bytes(content)
        with pytest.raises(InputError, match=expected):
            read_items(tmp_path / "x.tsv")
    with pytest.raises(InputError, match="missing.tsv: cannot be read"):
        read_items(tmp_path / "missing.tsv")


def test_rows_that_could_not_be_read_are_not_written(tmp_path):
    row = Coded("s", "i", "c", 1, 1, 1)
    for rows, expected in (
        ([row, row], "already"),
        ([Coded("s", "i", "c", 1, 1, 1, {"a b": 1.0})], "head a column"),
        ([Coded("s", "i", "c", 1, 1, 1, {}, {"t": Answer(1.0, -0.1, "")})], "agreement of t: expected 0 to 1"),
        ([Coded("s", "i", "c", math.nan, 1, 1)], "finite"),
    ):
        with pytest.raises(InputError, match=expected):
            write_items(tmp_path / "x.tsv", [], rows)
    assert not (tmp_path / "x.tsv").exists()
