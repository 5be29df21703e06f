"""The commands that measure: `lecodec eval rd | lossless | bench | video | sound | task | report | vote`. Options, exit
codes.

Each prints its tables, says on stderr what was left out and why, and ends with exit code 1 if anything was.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from ..codec.workers.pool import cores
from .console import counting, one_sentence, print_table, shown, tell
from .options import SETTINGS, CodecNames, Device, Limit, Quiet, RayAddress, Settings, command

__all__ = ["eval_app"]

eval_app = typer.Typer(help="Measure codecs: rates, quality, speed, and what machines make of the result.", **SETTINGS)


@command(eval_app, "rd", "Rate-distortion curves and BD-rates of pictures.")
def rd_command(
    folder: Annotated[Path, typer.Argument(help="Folder of pictures.", metavar="DIR")],
    codecs: Annotated[str, CodecNames] = "lecodec,jpeg,webp,avif",
    output: Annotated[
        Path, typer.Option("-o", "--output", help="Folder for the tables and the plot.", metavar="DIR")
    ] = Path("rd"),
    anchors: Annotated[
        str | None,
        typer.Option(
            "--anchor", help="Codecs or published curves that BD-rates refer to, with commas.", metavar="A,B,…"
        ),
    ] = None,
    curves: Annotated[
        Path | None,
        typer.Option(
            "--curves",
            help="Table of published curves to compare with: columns codec, bpp, psnr, ms_ssim.",
            metavar="FILE",
        ),
    ] = None,
    low: Annotated[float, typer.Option("--low", help="Lower end of the range of BD-rates, dB.", metavar="DB")] = 26.0,
    high: Annotated[float, typer.Option("--high", help="Upper end of the range of BD-rates, dB.", metavar="DB")] = 36.0,
    metrics: Annotated[
        str | None,
        typer.Option(
            "--metrics",
            help="Beside PSNR and MS-SSIM: ssimulacra2 (by default, where installed), butteraugli, cvvdp, psnr_y, …",
            metavar="A,B,…",
        ),
    ] = None,
    settings: Settings = None,
    jobs: Annotated[
        int,
        typer.Option("-j", "--jobs", help="Processes; 0 for one a core. Several share the time.", min=0, metavar="N"),
    ] = 1,
    ray: RayAddress = None,
    limit: Limit = None,
    quiet: Quiet = False,
) -> None:
    """Rate-distortion curves and BD-rates from real files: TSV tables and a plot."""
    ladders = dict(_ladder(text) for text in settings or [])
    with one_sentence(str(folder)):
        from ..eval.rd import run_rd

        with counting("measuring", quiet) as tick:
            result = run_rd(
                folder,
                _names(codecs),
                output,
                anchors=_names(anchors or ""),
                curves=curves,
                low=low,
                high=high,
                limit=limit,
                more=None if metrics is None else _names(metrics),
                settings=ladders,
                workers=1 if jobs is None and ray is None else jobs or (0 if ray else cores()),
                ray=ray,
                progress=tick,
                say=partial(tell, "measuring"),
            )
        print_table(result.summary_table())
        print()
        print_table(result.bd_table())
        _finish(result.skipped)


@command(eval_app, "sound", "Rates of sounds, and what is left of them.")
def sound_command(
    folder: Annotated[Path, typer.Argument(help="Folder of sounds.", metavar="DIR")],
    codecs: Annotated[str, CodecNames] = "lecodec,opus,mp3",
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder for the tables.", metavar="DIR")] = Path(
        "sound"
    ),
    rate: Annotated[
        int, typer.Option("--rate", help="Hz that all sounds are brought to.", min=1000, metavar="HZ")
    ] = 16000,
    stereo: Annotated[bool, typer.Option("--stereo", help="Two channels of each sound instead of one.")] = False,
    settings: Settings = None,
    metrics: Annotated[
        str,
        typer.Option(
            "--metrics", help="Beside SNR, SI-SDR, distances of spectra: pesq, stoi, dnsmos.", metavar="A,B,…"
        ),
    ] = "",
    anchors: Annotated[
        str | None, typer.Option("--anchor", help="Codecs that BD-rates refer to, with commas.", metavar="A,B,…")
    ] = None,
    limit: Limit = None,
    quiet: Quiet = False,
) -> None:
    """Rates of real files and what is left of sounds: curves, BD-rates; TSV tables and a plot."""
    ladders = dict(_ladder(text) for text in settings or [])
    with one_sentence(str(folder)):
        from ..eval.sound import run_sound

        with counting("measuring", quiet) as tick:
            result = run_sound(
                folder,
                _names(codecs),
                output,
                rate=rate,
                channels=2 if stereo else 1,
                settings=ladders,
                more=_names(metrics),
                anchors=_names(anchors or ""),
                limit=limit,
                progress=tick,
            )
        print_table(result.table())
        print()
        print_table(result.bd_table())
        _finish(result.skipped)


@command(eval_app, "lossless", "Lossless codecs side by side.")
def lossless_command(
    sources: Annotated[
        list[str],
        typer.Argument(help="Folders of pictures and sets of samples; NAME=PATH to call one so.", metavar="SOURCE"),
    ],
    codecs: Annotated[str, CodecNames] = "lecodec,png,webp,jxl,xz,zstd",
    output: Annotated[Path, typer.Option("-o", "--output", help="Table to write (.tsv).", metavar="FILE")] = Path(
        "lossless.tsv"
    ),
    device: Device = "cpu",
    quiet: Quiet = False,
) -> None:
    """Lossless codecs side by side, decoded and compared: sizes and times in a TSV table."""
    with one_sentence(sources[0]):
        from ..eval.lossless import run_lossless

        with counting("measuring", quiet) as tick:
            result = run_lossless(sources, _names(codecs), output, device=device, progress=tick)
        print_table(result.table())
        _finish(result.skipped)


@command(eval_app, "bench", "Speed, memory and size of codecs.")
def bench_command(
    folder: Annotated[Path | None, typer.Argument(help="Folder of pictures.", metavar="DIR")] = None,
    codecs: Annotated[
        str, CodecNames
    ] = "lecodec,compressai:bmshj2018-hyperprior,compressai:mbt2018-mean,jpeg,webp,avif,jxl",
    output: Annotated[Path, typer.Option("-o", "--output", help="Table to write (.tsv).", metavar="FILE")] = Path(
        "bench.tsv"
    ),
    device: Device = "cpu",
    repeats: Annotated[
        int, typer.Option("--repeats", help="Times that each is run; the median counts.", min=1, metavar="N")
    ] = 3,
    limit: Limit = None,
    bpp: Annotated[
        float, typer.Option("--bpp", help="Bits a pixel: settings are those that come nearest to it.", metavar="R")
    ] = 0.5,
    quiet: Quiet = False,
) -> None:
    """Speed, memory and size of codecs side by side: a TSV table."""
    with one_sentence(str(folder or "bench")):
        from ..eval.bench import run_bench

        with counting("measuring", quiet) as tick:
            result = run_bench(
                folder, _names(codecs), output, device=device, repeats=repeats, limit=limit, bpp=bpp, progress=tick
            )
        print_table(result.table())
        _finish(result.skipped)


@command(eval_app, "video", "Rate-distortion curves and BD-rates of videos.")
def video_command(
    clips: Annotated[list[Path], typer.Argument(help="Video files.", metavar="CLIP")],
    codecs: Annotated[str, CodecNames] = "lecodec,x264,x265,svt-av1",
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder for the tables.", metavar="DIR")] = Path(
        "video"
    ),
    anchors: Annotated[
        str, typer.Option("--anchor", help="Codecs that BD-rates refer to, with commas.", metavar="A,B,…")
    ] = "x264",
    frames: Annotated[
        int, typer.Option("--frames", help="How many frames of each clip to take.", min=1, metavar="N")
    ] = 96,
    start: Annotated[int, typer.Option("--start", help="Which frame is the first, from 0.", min=0, metavar="N")] = 0,
    width: Annotated[
        int, typer.Option("--width", help="Pixels a row, at most; larger clips are shrunk.", min=16, metavar="N")
    ] = 640,
    settings: Settings = None,
    quiet: Quiet = False,
) -> None:
    """Rate-distortion curves and BD-rates of video codecs from real files: TSV tables."""
    ladders = dict(_ladder(text) for text in settings or [])
    with one_sentence(str(clips[0])):
        from ..eval.video import run_video

        with counting("measuring", quiet) as tick:
            result = run_video(
                clips,
                _names(codecs),
                output,
                frames=frames,
                start=start,
                width=width,
                anchors=_names(anchors),
                settings=ladders,
                progress=tick,
            )
        print_table(result.points)
        print()
        print_table(result.comparisons)
        _finish(result.skipped)


@command(eval_app, "task", "Accuracy of networks on compressed input.")
def task_command(
    data: Annotated[
        Path | None,
        typer.Argument(
            help="Folder of pictures, or of sounds, for the built-in tasks; YAML tasks name their own.", metavar="DIR"
        ),
    ] = None,
    tasks: Annotated[
        str,
        typer.Option(
            "--tasks",
            help="What to ask, with commas: built-in tasks (text, mask, …; of sounds words, phonemes, …), YAML files, "
            "MODULE:CLASS.",
            metavar="A,B,…",
        ),
    ] = "imagenet-mobilenetv2,imagenet-efficientnet-lite0",
    codecs: Annotated[
        str | None,
        typer.Option(
            "--codecs",
            help="What to compare, with commas: lecodec, lecodec:MODEL, lecodec@FILE, jpeg, opus, and so on.",
            metavar="A,B,…",
        ),
    ] = None,
    output: Annotated[
        Path, typer.Option("-o", "--output", help="Folder for tables, coded files and kept results.", metavar="DIR")
    ] = Path("task"),
    settings: Settings = None,
    metrics: Annotated[
        str | None,
        typer.Option("--metrics", help="Names, with commas; by default those that need nothing more.", metavar="A,B,…"),
    ] = None,
    weights: Annotated[
        Path | None, typer.Option("--weights", help="Folder with the backbones of lpips and dists.", metavar="DIR")
    ] = None,
    anchor: Annotated[
        str | None, typer.Option("--anchor", help="Codec that BD figures refer to.", metavar="CODEC")
    ] = None,
    resamples: Annotated[
        int, typer.Option("--resamples", help="How often the bootstrap draws the items anew.", min=100, metavar="N")
    ] = 1000,
    jobs: Annotated[int, typer.Option("-j", "--jobs", help="Processes; 0 for one a core.", min=0, metavar="N")] = 0,
    ray: RayAddress = None,
    limit: Limit = None,
    template: Annotated[
        bool, typer.Option("--template", help="Print a YAML task to begin with, and nothing else.")
    ] = False,
    device: Device = "cpu",
    quiet: Quiet = False,
) -> None:
    """Accuracy of networks on compressed input, against bytes. Goes on where a killed run with the same -o stopped."""
    if template:
        with one_sentence("--template"):
            from ..eval.task import template_of_tasks

            print(template_of_tasks(), end="")
        return
    ladders = dict(_ladder(text) for text in settings or [])
    with one_sentence(str(data or tasks)):
        from ..eval.measure.run import run_tasks
        from ..eval.task import codecs_for, terminal_tables, write_summary

        with counting("measuring", quiet) as tick:
            run = run_tasks(
                _names(tasks),
                codecs_for(_names(tasks)) if codecs is None else _names(codecs),
                output,
                data=data,
                metrics=None if metrics is None else _names(metrics),
                weights=weights,
                settings=ladders,
                limit=limit,
                workers=jobs or (0 if ray else cores()),
                ray=ray,
                device=device,
                progress=tick,
                say=partial(tell, "measuring"),
            )
        summary = write_summary(output, run, anchor=anchor, resamples=resamples)
        for table in () if quiet else terminal_tables(summary):
            print_table(table)
            print()
        for note in summary.notes:
            tell("note", note)
        _finish(run.skipped)


@command(eval_app, "report", "One HTML page of a run of `task`.")
def report_command(
    results: Annotated[Path, typer.Argument(help="Folder that eval task wrote.", metavar="RESULTS")],
    output: Annotated[
        Path, typer.Option("-o", "--output", help="Folder for the page, plots and tables.", metavar="DIR")
    ] = Path("report"),
    pictures: Annotated[
        int,
        typer.Option(
            "--pictures", help="How many pictures the page compares, evenly spread; 0 for all.", min=0, metavar="N"
        ),
    ] = 24,
    anchor: Annotated[
        str | None, typer.Option("--anchor", help="Codec that BD figures refer to.", metavar="CODEC")
    ] = None,
    resamples: Annotated[
        int, typer.Option("--resamples", help="How often the bootstrap draws the items anew.", min=100, metavar="N")
    ] = 1000,
    quiet: Quiet = False,
) -> None:
    """One HTML page of a run: curves with intervals, tables, pictures before and after; PNG plots, Markdown tables."""
    with one_sentence(str(results)):
        from ..eval.task import report_of

        with counting("reporting", quiet) as tick:
            page = report_of(results, output, pictures=pictures, anchor=anchor, resamples=resamples, progress=tick)
        if not quiet:
            print(shown(page))


@command(eval_app, "vote", "A page on which people compare codecs without names.")
def vote_command(
    folder: Annotated[Path, typer.Argument(help="Folder of pictures.", metavar="DIR")],
    codecs: Annotated[
        str, typer.Option("--codecs", help="Names, with commas: the first against each of the others.", metavar="A,B,…")
    ] = "lecodec,avif,jxl,webp",
    output: Annotated[Path, typer.Option("-o", "--output", help="Page to write (.html).", metavar="FILE")] = Path(
        "vote.html"
    ),
    rates: Annotated[
        str, typer.Option("--bpp", help="Bits a pixel, with commas; pictures take turns.", metavar="A,B,…")
    ] = "0.25,0.5",
    side: Annotated[
        int, typer.Option("--side", help="Side of the crops that are shown, in pixels.", min=64, metavar="N")
    ] = 288,
    places: Annotated[
        Path | None,
        typer.Option("--places", help="Table picture, x, y: the pictures and the crops to show.", metavar="FILE"),
    ] = None,
    limit: Limit = None,
    overwrite: Annotated[bool, typer.Option("-f", "--force", help="Overwrite the page.")] = False,
    quiet: Quiet = False,
) -> None:
    """One HTML page in which to vote, without names, for one of two crops of equal bytes, and to see the sum."""
    try:
        wanted = [float(rate) for rate in _names(rates)]
    except ValueError:
        raise typer.BadParameter(f"--bpp {rates}: expected numbers with commas") from None
    with one_sentence(str(folder)):
        from ..eval.vote import run_vote

        with counting("coding", quiet) as tick:
            page = run_vote(
                folder,
                _names(codecs),
                output,
                rates=wanted,
                side=side,
                places=places,
                limit=limit,
                overwrite=overwrite,
                progress=tick,
            )
        if not quiet:
            print(shown(page.path))
        _finish(page.skipped)


def _finish(skipped: Sequence[tuple[str, str]]) -> NoReturn:
    """Say what was left out, and exit."""
    for name, why in skipped:
        tell(name, f"left out: {why}")
    raise typer.Exit(1 if skipped else 0)


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _ladder(text: str) -> tuple[str, list[float]]:
    """CODEC=A,B,…"""
    codec, equals, values = text.rpartition("=")
    try:
        numbers = [float(value) for value in values.split(",")]
    except ValueError:
        numbers = []
    if not equals or not codec or not numbers:
        raise typer.BadParameter(f"--settings {text}: expected CODEC=A,B,… with numbers")
    return codec, numbers
