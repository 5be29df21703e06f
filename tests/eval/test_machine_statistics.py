"""Statistics over items: the table's round trip, then figures against closed forms and scipy."""

from __future__ import annotations

import csv
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.interpolate import PchipInterpolator

from lecodec.errors import InputError
from lecodec.eval.codecs.codec import IDENTITY
from lecodec.eval.figures import bd
from lecodec.eval.figures.classes import enough
from lecodec.eval.figures.curves import Curves, Pchip, bd_accuracy, bd_rate, isotonic
from lecodec.eval.figures.rows import TABLES
from lecodec.eval.figures.statistics import holm, interval, label_check, mcnemar, resampled_means, spearman
from lecodec.eval.figures.summary import summarise
from lecodec.eval.measure.items import read_items, write_items
from lecodec.eval.quality.metrics import lower_is_better
from lecodec.eval.task import terminal_tables
from lecodec.eval.tasks.task import Answer, ItemRow

# --- items.tsv

texts = st.text(max_size=12)
numbers = st.floats(width=32) | st.sampled_from([math.nan, math.inf, -math.inf, 0.0])
shares = st.floats(0, 1) | st.just(math.nan)
coded = st.builds(
    ItemRow,
    source=texts,
    item=texts,
    codec=texts,
    setting=st.floats(-1e6, 1e6),
    bytes=st.integers(0, 10**15),
    units=st.integers(0, 10**12).map(float) | st.floats(0, 1e9),
    metrics=st.dictionaries(st.sampled_from(["psnr", "d_a.b", "t.x.score"]), numbers),
    answers=st.dictionaries(
        st.sampled_from(["top-1", "a.score", "text"]), st.builds(Answer, shares, shares, texts, texts, texts, shares)
    ),
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
            if any(row.answers[task].found for row in rows if task in row.answers):  # else it is no task with classes
                assert (answer.found, answer.truth) == (b.answers[task].found, b.answers[task].truth)
                wanted, found = (math.nan if x.top5 is None else x.top5 for x in (answer, b.answers[task]))
                assert close(wanted, found)


def table(tmp_path: Path) -> Path:
    answers = {"top-1": Answer(1.0, 1.0, "goldfish\t97%")}
    rows = [ItemRow("photos", f"{i}.jpg", "jpeg", 5, 900 + i, 65536, {"psnr": 27.5}, answers) for i in range(2)]
    rows.append(ItemRow("sounds", "a.wav", "opus", 6, 700, 2.5))
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
    row = ItemRow("s", "i", "c", 1, 1, 1)
    for rows, expected in (
        ([row, row], "already"),
        ([ItemRow("s", "i", "c", 1, 1, 1, {"a b": 1.0})], "head a column"),
        ([ItemRow("s", "i", "c", 1, 1, 1, {}, {"t": Answer(1.0, -0.1, "")})], "agreement of t: expected 0 to 1"),
        ([ItemRow("s", "i", "c", math.nan, 1, 1)], "finite"),
    ):
        with pytest.raises(InputError, match=expected):
            write_items(tmp_path / "x.tsv", [], rows)
    assert not (tmp_path / "x.tsv").exists()


# --- the bootstrap and tests


def test_the_interval_of_a_mean_is_that_of_normal_theory():
    values = np.random.default_rng(1).normal(3.0, 2.0, (400, 1))
    means = resampled_means(values, 4000)
    assert means.shape == (4001, 1) and means[0, 0] == pytest.approx(values.mean())
    found, half = interval(means[:, 0], 400), 1.96 * values.std() / 20
    assert found.low == pytest.approx(values.mean() - half, abs=0.06 * half)
    assert found.high == pytest.approx(values.mean() + half, abs=0.06 * half)
    assert (resampled_means(values, 4000) == means).all()  # the seed is fixed


def test_95_of_100_intervals_hold_the_truth():
    random = np.random.default_rng(2)
    scores = (random.random((80, 300)) < 0.7).astype(float)  # 300 experiments with 80 items each
    found = [interval(column, 80) for column in resampled_means(scores, 500).T]
    assert 0.91 < np.mean([i.low <= 0.7 <= i.high for i in found]) < 0.98


def test_differences_are_paired_and_other_columns_change_nothing(monkeypatch):
    random = np.random.default_rng(3)
    hard = random.normal(0, 10, (50, 1))
    values = hard + np.array([0.0, 1.0]) + random.normal(0, 0.1, (50, 2))
    means = resampled_means(values, 500)
    difference, alone = interval(means[:, 1] - means[:, 0], 50), interval(means[:, 0], 50)
    assert difference.high - difference.low < (alone.high - alone.low) / 20 and difference.excludes_zero
    assert resampled_means(values[:, 1:], 500) == pytest.approx(means[:, 1:])
    monkeypatch.setattr("lecodec.eval.figures.statistics._BLOCK", 1)  # one resample at a time
    assert resampled_means(values, 500) == pytest.approx(means)


def test_means_leave_out_nan_and_keep_infinity():
    values = np.array([[1.0, np.nan, np.inf, np.nan], [3.0, 5.0, 1.0, np.nan]])
    means = resampled_means(values, 200)
    assert means[0].tolist() == pytest.approx([2.0, 5.0, np.inf, np.nan], nan_ok=True)
    assert set(means[1:, 0]) == {1.0, 2.0, 3.0} and set(means[1:, 2]) == {1.0, np.inf}
    second = means[1:, 0] > 1  # resamples that drew the second item
    assert (means[1:, 1][second] == 5.0).all() and np.isnan(means[1:, 1][~second]).all() and np.isnan(means[:, 3]).all()


def test_intervals_that_cannot_be_known_are_nan():
    figures = np.linspace(0, 1, 101)
    assert not math.isnan(interval(figures, 6).low)
    assert math.isnan(interval(figures, 5).low) and not interval(figures, 5).excludes_zero
    figures[1:6] = np.nan
    assert interval(figures, 9).missing == 5 and not math.isnan(interval(figures, 9).low)
    figures[6] = np.nan
    assert interval(figures, 9).missing == 6 and math.isnan(interval(figures, 9).low)
    assert not interval(np.full(101, 1e-14), 9).excludes_zero  # rounding separates no codecs
    assert math.isnan(interval(np.r_[np.nan, np.zeros(100)], 9).low)  # the sample itself lacks the figure
    for values, resamples, expected in ((np.ones((0, 2)), 100, "no items"), (np.ones((3, 2)), 39, "at least 40")):
        with pytest.raises(InputError, match=expected):
            resampled_means(values, resamples)


def test_mcnemar_by_hand():
    before = np.array([True] * 20 + [False] * 10)
    after = before.copy()
    assert mcnemar(before, after) == (0, 0, 1.0)
    after[:7], after[20] = False, True  # 7 lost, 1 gained: 2 * (C(8,0) + C(8,1)) / 2^8
    assert mcnemar(before, after) == (7, 1, pytest.approx(2 * 9 / 256))
    assert mcnemar(after, before) == (1, 7, pytest.approx(2 * 9 / 256))


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03, 0.5]) == pytest.approx([0.04, 0.09, 0.09, 0.5])
    assert holm([0.9, 0.8]) == [1.0, 1.0] and holm([]) == []


def test_spearman_is_scipys():
    a, b = np.random.default_rng(4).integers(0, 5, (2, 30, 8)).astype(float)  # with many ties
    a[0, 0] = np.inf
    expected = [stats.spearmanr(x, y).statistic for x, y in zip(a, b, strict=True)]
    assert spearman(a, b).tolist() == pytest.approx(expected)
    a[1, 3], b[2] = np.nan, 7.0
    assert np.isnan(spearman(a, b)[:4]).tolist() == [False, True, True, False]
    assert np.isnan(spearman(a[:, :2], b[:, :2])).all()
    rounded = np.array([[0.3, 0.1 + 0.2, 0.3]])  # the same mean, summed in another order
    assert np.isnan(spearman(rounded, np.array([[1.0, 2.0, 3.0]]))).all()


def test_shuffled_labels_are_noticed():
    labels = np.random.default_rng(5).permutation(np.repeat(np.arange(100), 2))
    answers = np.where(np.random.default_rng(6).random(200) < 0.8, labels, 0)
    assert label_check((answers == labels).astype(float), 100) == ""
    shuffled = np.random.default_rng(7).permutation(labels)
    note = label_check((answers == shuffled).astype(float), 100, agreement=0.93)
    assert "of 200 originals" in note and "chance" in note and "93%" in note
    assert "itself" not in label_check((answers == shuffled).astype(float), None)
    assert label_check(np.array([0.2, 0.4])) == "" == label_check(np.array([]))  # graded scores have no such chance
    assert label_check(np.ones(40), 2) == "" != label_check(np.array([0.0, 1.0] * 20), 2)
    with pytest.raises(InputError, match="2 classes"):
        label_check(np.ones(3), 1)


# --- curves


def test_isotonic_fit_of_noisy_points():
    assert isotonic(np.array([[0.1, 0.5, 0.3, 0.9, 0.6, 0.6]])).tolist() == [
        pytest.approx([0.1, 0.4, 0.4, 0.7, 0.7, 0.7])
    ]
    random = np.random.default_rng(8)
    truth = np.linspace(0, 1, 40)
    noisy = truth + random.normal(0, 0.1, (50, 40))
    fit = isotonic(noisy)
    assert (np.diff(fit) >= 0).all() and np.square(fit - truth).sum() < 0.5 * np.square(noisy - truth).sum()


@pytest.mark.parametrize("count", [2, 3, 4, 9])
def test_pchip_is_scipys(count):
    random = np.random.default_rng(count)
    x = np.cumsum(random.uniform(0.01, 1, (40, count)), axis=1)
    for y in (random.normal(size=x.shape), isotonic(random.random(x.shape))):
        at = x[:, :1] + (x[:, -1:] - x[:, :1]) * np.array([-0.1, 0.0, 0.3, 0.77, 1.0, 1.1])
        at[:, 4] = x[:, -1]
        mine = Pchip.of(x, y)
        theirs = [PchipInterpolator(a, b, extrapolate=False) for a, b in zip(x, y, strict=True)]
        values = mine(at)
        assert np.isnan(values[:, [0, -1]]).all()
        assert values[:, 1:-1] == pytest.approx(np.array([f(q) for f, q in zip(theirs, at[:, 1:-1], strict=True)]))
        low, high = at[:, 2], at[:, 4]
        areas = [float(f.integrate(a, b)) / (b - a) for f, a, b in zip(theirs, low, high, strict=True)]
        assert mine.mean(low, high) == pytest.approx(areas)
        assert np.isnan(mine.mean(at[:, 0], high)).all() and np.isnan(mine.mean(high, low)).all()


RATES = np.array([[0.1, 0.2, 0.4, 0.9, 1.6]])


def test_bd_of_identical_and_of_cheaper_codecs():
    accuracies = np.array([[0.3, 0.5, 0.62, 0.7, 0.72]])
    anchor, half = Curves.of(RATES, accuracies), Curves.of(RATES / 2, accuracies)
    assert bd_accuracy(anchor, anchor).values == pytest.approx(0) and bd_rate(anchor, anchor).values == pytest.approx(0)
    found = bd_rate(anchor, half)
    assert (found.values[0], found.low[0], found.high[0]) == pytest.approx((-50, 0.3, 0.72))
    assert bd_rate(half, anchor).values == pytest.approx(100)
    better = Curves.of(RATES, accuracies + 0.05)
    found = bd_accuracy(anchor, better)
    assert (found.values[0], found.low[0], found.high[0]) == pytest.approx((5, 0.1, 1.6))
    shuffled = Curves.of(RATES[:, [3, 0, 4, 2, 1]], accuracies[:, [3, 0, 4, 2, 1]])
    assert shuffled.accuracies.tolist() == anchor.accuracies.tolist()


def test_bd_of_straight_lines_in_any_range():
    """Accuracy 0.5 + 0.1 ln r: half the bytes are worth 10 ln 2 points, wherever one looks."""
    line = Curves.of(RATES, 0.5 + 0.1 * np.log(RATES))
    half = Curves.of(RATES / 2, 0.5 + 0.1 * np.log(RATES))
    assert line.accuracy_at(np.array([0.1, 0.3, 1.6]))[0] == pytest.approx(0.5 + 0.1 * np.log([0.1, 0.3, 1.6]))
    assert np.isnan(line.accuracy_at(np.array([0.0999, 1.601]))).all()
    for low, high, used in ((0, np.inf, (0.1, 0.8)), (0.2, 0.5, (0.2, 0.5)), (0.01, 0.15, (0.1, 0.15))):
        found = bd_accuracy(line, half, low, high)
        assert (found.values[0], found.low[0], found.high[0]) == pytest.approx((10 * math.log(2), *used))
    assert bd_rate(line, half, 0.4, 0.45).values == pytest.approx(-50)
    assert np.isnan(bd_accuracy(line, half, 0.9, 2).values).all() and np.isnan(bd_rate(line, half, 0.9).low).all()
    apart = Curves.of(RATES * 100, 0.5 + 0.1 * np.log(RATES))
    assert np.isnan(bd_accuracy(line, apart).values).all() and bd_rate(line, apart).values == pytest.approx(9900)


def test_every_row_is_what_the_plain_bd_rate_says_of_the_fit():
    random = np.random.default_rng(9)
    accuracies = np.clip(np.linspace(0.2, 0.8, 9) + random.normal(0, 0.15, (2, 40, 9)), 0, 1)  # many plateaus
    rates = np.exp(np.cumsum(random.uniform(0.1, 0.5, (2, 40, 9)), axis=2))
    anchor, test = (Curves.of(r, a) for r, a in zip(rates, accuracies, strict=True))
    found = bd_rate(anchor, test)
    plain = []
    for row in range(40):
        curves = [bd.Curve(tuple(np.exp(c.log_rates[row])), tuple(c.accuracies[row])) for c in (anchor, test)]
        assert all(len(curve.staircase().rates) >= 3 for curve in curves)
        plain.append(bd.bd_rate(*curves, 0, 1))
    assert found.values == pytest.approx([one.percent for one in plain])
    assert found.low == pytest.approx([one.low_used for one in plain])
    assert found.high == pytest.approx([one.high_used for one in plain])


def test_plateaus_cost_their_lowest_rate():
    flat = Curves.of(RATES, np.array([[0.2, 0.5, 0.5, 0.5, 0.5]]))
    short = Curves.of(RATES[:, :2], np.array([[0.2, 0.5]]))
    assert bd_rate(short, flat).values == pytest.approx(0)
    constant = Curves.of(RATES, np.full((1, 5), 0.5))
    assert np.isnan(bd_rate(flat, constant).values).all()  # no range of accuracy, but one of rate:
    assert bd_accuracy(constant, constant).values == pytest.approx(0)
    falling = Curves.of(RATES, np.array([[0.5, 0.4, 0.3, 0.2, 0.1]]))
    assert falling.accuracies[0] == pytest.approx(np.full(5, 0.3)) and falling.accuracy_at([0.3])[0] == pytest.approx(
        0.3
    )


def test_settings_of_equal_rate_count_as_one():
    curves = Curves.of(np.array([[1.0, 2.0, 2.0, 4.0], [1.0, 2.0, 2.0, 1.0]]), np.array([[0.1, 0.2, 0.4, 0.8]] * 2))
    assert curves.accuracies[0] == pytest.approx([0.1, 0.3, 0.8])
    assert (np.diff(curves.log_rates) > 0).all()  # the second row has two more that coincide, by chance
    assert np.isfinite(curves.accuracy_at([1.5])).all()
    single = Curves.of(np.array([[1.0]]), np.array([[0.5]]))
    assert np.isnan(single.accuracy_at([1.0])).all() and np.isnan(bd_accuracy(single, curves).values).all()
    assert np.isnan(bd_rate(single, single).values).all()
    for rates, accuracies in (([[1.0, 0.0]], [[0.1, 0.2]]), ([[1.0, 2.0]], [[0.1, np.nan]]), ([[1.0]], [[0.1, 0.2]])):
        with pytest.raises(InputError, match="curves need"):
            Curves.of(np.array(rates), np.array(accuracies))


# --- the summary

LADDER = (1, 2, 3, 4, 5)


def experiment(items: int = 60, seed: int = 0, codecs: tuple[str, ...] = ("jpeg", "half"), sure=0.9) -> list[ItemRow]:
    """Rows whose truth is known: an item is right if its difficulty is below what the rate gives; `half` needs half the
    bytes of `jpeg` for the same; a task `top` with truth, a task `mask` without, feature distance d_x and psnr.
    """
    rows = []
    for name, hard in enumerate(np.random.default_rng(seed).random(items)):
        points = [(IDENTITY, 0, 3000, sure)]
        points += [
            (codec, s, 5 * 2 ** (s + (codec != "half")) + name % 3, 0.15 * s) for codec in codecs for s in LADDER
        ]
        for codec, setting, size, level in points:
            right = float(hard < level)
            truth = "cat" if name % 3 else "dog"
            found = truth if right else "cow"
            top = Answer(right, float(right == (hard < sure)), "x", found, truth, min(1.0, right + (hard < 0.9)))
            mask = Answer(math.nan, level, "")
            metrics = {"psnr": math.inf if codec == IDENTITY else 20 + 10 * level, "d_x": 1 - level}
            answers = {"top": top, "mask": mask}
            rows.append(ItemRow("photos", f"{name}.png", codec, setting, size, 1000.0, metrics, answers))
    return rows


def by(rows, **wanted):
    found = [row for row in rows if all(getattr(row, key) == value for key, value in wanted.items())]
    assert len(found) == 1, f"{len(found)} rows with {wanted}"
    return found[0]


def test_where_there_is_no_interval_the_terminal_shows_none():
    summary = summarise(experiment(items=4), resamples=100)
    cells = [str(cell) for table in terminal_tables(summary) for row in table for cell in row.values()]
    assert any(cell[:1].isdigit() for cell in cells) and not any("nan" in cell and "to" in cell for cell in cells)
    whole = terminal_tables(summarise(experiment(), resamples=100))
    assert any(" to " in str(cell) for table in whole for row in table for cell in row.values())


def test_classes_confusions_and_the_five_most_likely():
    rows = experiment(60)
    summary = summarise(rows, resamples=50)
    assert {row.task for row in summary.classes} == {row.task for row in summary.confusions} == {"top"}
    point = by(summary.points, task="top", codec="jpeg", setting=3)
    own = [row for row in rows if (row.codec, row.setting) == ("jpeg", 3)]
    assert point.top5 > point.score
    assert point.top5 == pytest.approx(np.mean([row.answers["top"].top5 for row in own]))
    assert point.top5_low <= point.top5 <= point.top5_high
    assert math.isnan(by(summary.points, task="mask", codec="jpeg", setting=3).top5)
    cats = [row for row in own if row.answers["top"].truth == "cat"]
    found = by(summary.classes, codec="jpeg", setting=3, name="cat")
    assert found.items == len(cats) == 40
    assert found.accuracy == pytest.approx(np.mean([row.answers["top"].score for row in cats]))
    assert found.uncompressed == by(summary.classes, codec=IDENTITY, name="cat").accuracy > found.accuracy
    counts = [row for row in summary.confusions if (row.codec, row.setting, row.truth) == ("jpeg", 3, "cat")]
    assert {row.found: row.items for row in counts} == {
        "cat": round(40 * found.accuracy),
        "cow": 40 - round(40 * found.accuracy),
    }
    unlabelled = [changed(row, answers={"top": replace(row.answers["top"], score=math.nan, truth="")}) for row in rows]
    again = summarise(unlabelled, resamples=50).classes  # what the network saw in the original stands for the truth
    assert {row.name for row in again} == {"cat", "dog", "cow"}
    assert all(row.accuracy == 1 for row in again if row.codec == IDENTITY)


def test_the_smallest_files_that_lose_at_most_a_point():
    points = [p for p in summarise(experiment(200, sure=0.6), resamples=50).points if p.task == "top"]
    found = enough(points)
    assert [point.codec for point in found] == ["jpeg", "half"]
    for best in found:
        own = [point for point in points if point.codec == best.codec]
        assert all(point.drop <= 0.01 for point in own if point.rate >= best.rate)
        assert max(point.drop for point in own if point.rate < best.rate) > 0.01
    assert not enough(points, -2.0)


def test_an_exact_item_does_not_make_the_mean_psnr_of_a_point_infinite():
    rows = experiment()
    plain = summarise(rows, resamples=100)
    exact = [replace(row, metrics=row.metrics | {"psnr": math.inf}) if row.item == "5.png" else row for row in rows]
    summary = summarise(exact, resamples=100)
    assert [note for note in summary.notes if "more than 60 dB of psnr" in note and "10 of 600 files" in note]
    for point in summary.points:
        known = point.metrics["psnr"]
        before = by(plain.points, task=point.task, codec=point.codec, setting=point.setting).metrics["psnr"]
        assert known == math.inf if point.codec == IDENTITY else known == pytest.approx(before + (60 - before) / 60)
    found, wanted = (by(s.correlations, task="top", metric="psnr") for s in (summary, plain))
    assert found.over_points == pytest.approx(wanted.over_points)


def test_the_figures_of_a_known_experiment():
    rows = experiment()
    summary = summarise(rows, resamples=300)
    assert summary.notes == () and len(summary.points) == 2 * 11
    original, point = (by(summary.points, task="top", codec=c, setting=s) for c, s in ((IDENTITY, 0), ("jpeg", 4)))
    before, after = (
        np.array([r.answers["top"].score for r in rows if (r.codec, r.setting) == key])
        for key in ((IDENTITY, 0), ("jpeg", 4))
    )
    assert (original.score, original.agreement, original.drop) == (pytest.approx(before.mean()), 1.0, 0.0)
    assert math.isnan(original.p) and original.metrics["psnr"] == math.inf
    assert point.score == pytest.approx(after.mean()) and point.items == 60 and point.kind == "score"
    assert point.drop == pytest.approx(original.score - point.score) and point.drop_low <= point.drop <= point.drop_high
    assert point.accuracy == (point.score, point.score_low, point.score_high)
    assert point.score_low < point.score < point.score_high and point.agreement == pytest.approx(1 - point.drop)
    assert (point.lost, point.gained) == (round(60 * point.drop), 0)
    assert point.p == pytest.approx(0.5 ** (point.lost - 1)) and point.p <= point.p_holm <= 10 * point.p
    assert point.rate == pytest.approx(8 * point.bytes / 1000) and point.bytes == 161.0

    paired = interval(resampled_means((before - after)[:, None], 300)[:, 0], 60)
    assert (point.drop_low, point.drop_high) == pytest.approx((paired.low, paired.high))

    whole = by(summary.comparisons, task="top")
    assert (whole.codec, whole.anchor, whole.note) == ("half", "jpeg", "")
    assert whole.bd_rate == pytest.approx(-50, abs=1.5) and whole.bd_rate_low <= whole.bd_rate <= whole.bd_rate_high
    assert whole.bd_points > 0 and whole.bd_points_low > 0

    at = by(summary.at_rates, task="top", codec="jpeg", rate=0.7)
    assert at.accuracy_low < at.accuracy < at.accuracy_high and at.drop == pytest.approx(original.score - at.accuracy)
    pair = by(summary.pairs, task="top", rate=0.7)
    other = by(summary.at_rates, task="top", codec="half", rate=0.7)
    assert pair.difference_points == pytest.approx(100 * (at.accuracy - other.accuracy))
    assert pair.separated and pair.difference_points_high < 0
    assert pair.smallest_points == pytest.approx((pair.difference_points_high - pair.difference_points_low) / 2)
    assert {row.rate for row in summary.at_rates} == {0.2, 0.3, 0.5, 0.7, 1.0}  # what both cover

    wide = summarise(rows, rates=[2.0], resamples=50)
    outside = by(wide.at_rates, task="top", codec="half", rate=2.0)
    assert math.isnan(outside.accuracy) and outside.note.startswith("the settings of half reach from 0.08")
    assert not math.isnan(by(wide.at_rates, task="top", codec="jpeg", rate=2.0).accuracy_low) and not wide.pairs


def test_a_task_without_truth_is_measured_by_agreement():
    point = by(summarise(experiment(), resamples=50).points, task="mask", codec="jpeg", setting=3)
    assert point.kind == "agreement" and math.isnan(point.score) and math.isnan(point.p) and math.isnan(point.lost)
    assert point.accuracy == pytest.approx((0.45, 0.45, 0.45)) and point.drop == pytest.approx(0.45)


def test_metrics_that_predict_accuracy():
    summary = summarise(experiment(), resamples=50)
    for metric in ("psnr", "d_x"):  # a distance is negated
        found = by(summary.correlations, task="top", metric=metric)
        assert found.over_points == pytest.approx(1) and found.within_codecs == pytest.approx(1)
        assert (found.points, found.codecs, found.items) == (10, 2, 60)
    rate = by(summary.correlations, task="top", metric="rate")  # two codecs: the rate does not rank across them
    assert rate.within_codecs == pytest.approx(1) and 0.5 < rate.over_points < 1
    assert [lower_is_better(name) for name in ("d_x", "log_stft", "lpips_alex", "dists", "psnr")] == [True] * 4 + [
        False
    ]


def test_items_that_some_codec_lacks_count_for_none():
    rows = experiment(20)
    rows.remove(by(rows, item="3.png", codec="half", setting=2))
    odd = by(rows, item="5.png", codec="jpeg", setting=1)
    for row in [row for row in rows if row.item == "7.png"]:
        row.answers["mask"] = Answer(math.nan, math.nan, "no foreground")
    del odd.answers["top"]
    del odd.metrics["psnr"]
    summary = summarise(rows, resamples=50)
    assert {point.items for point in summary.points if point.task == "top"} == {18}
    assert {point.items for point in summary.points if point.task == "mask"} == {18}
    assert len(summary.notes) == 3
    assert "1 of 20 items were not coded" in summary.notes[0] and "3.png" in summary.notes[0]
    assert "photos, top: 1 of 19" in summary.notes[1] and "photos, mask: 1 of 19" in summary.notes[2]
    assert by(summary.correlations, task="mask", metric="psnr").items == 17  # 5.png has its answer, but no psnr
    without = summarise([row for row in rows if row.item not in ("3.png", "5.png")], resamples=50)
    assert by(without.points, task="top", codec="half", setting=4) == by(
        summary.points, task="top", codec="half", setting=4
    )


def test_a_metric_is_compared_with_the_accuracy_of_the_items_that_have_it():
    rows = []
    for item in range(12):  # the second half has no metric, and an accuracy that falls
        points = [(IDENTITY, 0, 1.0), *(("a", s, s / 4 if item < 6 else 1 - s / 4) for s in (1, 2, 3))]
        for codec, setting, level in points:
            metrics = {"ms_ssim": level} if item < 6 else {}
            rows.append(
                ItemRow("s", str(item), codec, setting, 10 + setting, 9.0, metrics, {"t": Answer(level, 1.0, "")})
            )
    found = by(summarise(rows, resamples=50).correlations, metric="ms_ssim")
    assert (found.items, found.over_points, found.within_codecs) == (6, pytest.approx(1), pytest.approx(1))


def test_another_codec_changes_no_figure_of_the_others():
    few, more = (summarise(experiment(30, codecs=codecs), resamples=60) for codecs in (("jpeg",), ("other", "jpeg")))
    for setting in LADDER:
        a, b = (by(s.points, task="top", codec="jpeg", setting=setting) for s in (few, more))
        assert (a.score_low, a.drop_high, a.p) == pytest.approx((b.score_low, b.drop_high, b.p))


def test_sources_have_their_own_codecs_rates_and_anchors():
    sounds = [
        ItemRow(
            "sounds",
            f"{i}.wav",
            codec,
            s,
            1000 * s + 10 * i,
            2.0,
            {},
            {"words": Answer(1 - 0.5 / s * (s < 9), 1.0, "")},
        )
        for i in range(8)
        for codec, settings in ((IDENTITY, (9,)), ("opus", (1, 2, 3)), ("mp3", (2, 3, 4)))
        for s in settings
    ]
    summary = summarise(experiment(8) + sounds, resamples=50)
    assert {row.anchor for row in summary.comparisons if row.source == "sounds"} == {"opus"}
    assert {row.rate for row in summary.at_rates if row.source == "sounds"} == {10000.0}
    point = by(summary.points, source="sounds", codec="opus", setting=1)
    assert (point.score, point.lost, point.gained) == (0.5, 8, 0)  # half right is not wholly right
    given = summarise(sounds, "mp3", {"sounds": [9000, 5000]}, 50)
    assert {row.rate for row in given.at_rates} == {5000.0, 9000.0} and given.comparisons[0].anchor == "mp3"


def test_degenerate_runs_say_what_they_cannot():
    one = summarise(experiment(1), resamples=50)
    assert "need at least 6 items, found 1" in one.notes[0]
    assert all(math.isnan(point.score_low) for point in one.points) and not any(pair.separated for pair in one.pairs)

    right = [
        ItemRow(r.source, r.item, r.codec, r.setting, r.bytes, r.units, {}, {"t": Answer(1.0, 1.0, "")})
        for r in experiment(9)
    ]
    summary = summarise(right, resamples=50)
    assert {point.accuracy for point in summary.points} == {(1.0, 1.0, 1.0)}
    assert {point.p for point in summary.points if point.codec != IDENTITY} == {1.0}
    found = summary.comparisons[0]
    assert (found.bd_points, found.bd_points_low, found.bd_points_high) == pytest.approx((0, 0, 0))
    assert math.isnan(found.bd_rate) and found.note == "no BD-rate: the curves share no range of accuracy"
    assert "same at all points" in summary.correlations[0].note and not any(pair.separated for pair in summary.pairs)

    short = summarise([row for row in experiment(9) if row.codec != "half" or row.setting == 2], resamples=50)
    found = short.comparisons[0]
    assert math.isnan(found.bd_rate) and "BD figures need 3 settings, half has 1" in found.note
    alone = summarise([row for row in experiment(9) if row.codec == IDENTITY], resamples=50)
    assert len(alone.points) == 2 and not (alone.comparisons or alone.pairs or alone.at_rates)


def test_figures_missing_in_many_resamples_are_told():
    """The only item that is right at low rates: without it there is no range of accuracy."""
    rows = []
    for item in range(10):
        rows.append(ItemRow("s", str(item), IDENTITY, 0, 999, 10.0, {}, {"t": Answer(1.0, 1.0, "")}))
        for codec in ("a", "b"):
            rows += [
                ItemRow("s", str(item), codec, s, s * 9, 10.0, {}, {"t": Answer(float(s > 1 and not item), 1.0, "")})
                for s in (1, 2, 3)
            ]
    found = summarise(rows, resamples=200).comparisons[0]
    assert found.bd_rate == pytest.approx(0) and math.isnan(found.bd_rate_low)
    assert "BD-rate does not exist in" in found.note and "of 200 resamples" in found.note


def test_labels_of_other_pictures_are_noted():
    rows = experiment(40, sure=0.9)
    for row in rows:
        row.answers["top"] = replace(row.answers["top"], score=0.0)
    assert any("photos, top: the network is right on 0 of 40" in note for note in summarise(rows, resamples=50).notes)
    assert not summarise(experiment(40), resamples=50, classes={"top": 2}).notes


def changed(row: ItemRow, **values) -> ItemRow:
    return ItemRow(**{**vars(row), **values})


@pytest.mark.parametrize(
    ("spoil", "options", "expected"),
    [
        (lambda rows: [], {}, "no coded items"),
        (lambda rows: [changed(row, answers={}) for row in rows], {}, "no task has answered"),
        (lambda rows: [row for row in rows if row.codec != IDENTITY], {}, "no rows of the codec 'identity'"),
        (lambda rows: [*rows, rows[0]], {}, "'0.png' is there twice for identity at 0"),
        (lambda rows: [*rows, changed(rows[0], codec="new", units=0.0)], {}, "no rate"),
        (lambda rows: [*rows, changed(rows[0], codec="new", item="?")], {}, r"none of 4 items.*fewest, 1, by new at 0"),
        (lambda rows: rows, {"anchor": "avif"}, "'avif' is not among the codecs: jpeg, half"),
        (lambda rows: rows, {"rates": [0.5, -1]}, "above 0"),
        (lambda rows: rows, {"resamples": 3}, "at least 40"),
    ],
)
def test_runs_that_cannot_be_summarised_are_a_sentence(spoil, options, expected):
    with pytest.raises(InputError, match=expected):
        summarise(spoil(experiment(3)), **options)


def test_a_task_that_answered_nothing_is_a_note():
    rows = [changed(row, answers=row.answers | {"none": Answer(math.nan, math.nan, "")}) for row in experiment(7)]
    summary = summarise(rows, resamples=50)
    assert summary.notes == ("photos, none: none of 7 items was answered at every point, so there are no figures",)
    assert {point.task for point in summary.points} == {"top", "mask"}


def test_all_tables_are_written_and_the_same_from_the_table_of_items(tmp_path):
    rows = experiment(12)
    write_items(tmp_path / "items.tsv", [], rows)
    summary = summarise(read_items(tmp_path / "items.tsv")[1], resamples=50)
    for a, b in zip(summary.comparisons, summarise(rows, resamples=50).comparisons, strict=True):
        assert (a.bd_rate, a.bd_points_low) == pytest.approx((b.bd_rate, b.bd_points_low), nan_ok=True)
    (tmp_path / "out").mkdir()
    paths = summary.write(tmp_path / "out", ["a run"])
    assert [path.name for path in paths] == [f"{name}.tsv" for name in TABLES]
    for name, path in zip(TABLES, paths, strict=True):
        lines = path.read_text(encoding="utf-8").splitlines()
        assert lines[:2] == ["# a run", "# intervals: 95%, 50 bootstrap resamples of items"]
        found = list(csv.DictReader([line for line in lines if not line.startswith("#")], delimiter="\t"))
        columns, expected = summary.table(name)
        assert list(found[0]) == columns and len(found) == len(expected) > 0
    assert found and by_name(paths[0], "m.psnr")[0] == "inf"
    assert set(by_name(paths[3], "separated")) <= {"True", "False"}


def by_name(path: Path, column: str) -> list[str]:
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    return [row[column] for row in csv.DictReader(lines, delimiter="\t")]
