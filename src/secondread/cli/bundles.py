"""Commands on bundles: read, prove, bench, serve."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

Bundles = Annotated[list[Path], typer.Argument(help="Bundle folders or zips.", show_default=False)]

RUNTIME = "onnxruntime"


def add_to(app: typer.Typer) -> None:
    app.command()(read)
    app.command()(prove)
    app.command()(bench)
    app.command()(serve)


def read(
    bundle: Annotated[Path, typer.Argument(help="A bundle folder or zip.", show_default=False)],
    images: Annotated[list[Path], typer.Argument(help="Images, folders, DICOM files, zips.", show_default=False)],
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object per file, as they come.")] = False,
    csv: Annotated[Path | None, typer.Option("--csv", help="Write the readings as a table.")] = None,
    heatmaps: Annotated[
        Path | None, typer.Option("--heatmaps", help="Write heatmap overlays into this folder.")
    ] = None,
    threads: Annotated[int | None, typer.Option("--threads", min=1, help="Threads; all cores when not given.")] = None,
    engine: Annotated[str, typer.Option("--engine", help="onnxruntime, or openvino where it is installed.")] = RUNTIME,
) -> None:
    """Read new images with an exported bundle, without PyTorch."""
    from secondread.core.errors import WrongRequest
    from secondread.models.bundle import Bundle
    from secondread.models.bundle.reading import columns_of, read_images

    if csv and csv.exists() and csv.suffix.lower() != ".csv":
        raise WrongRequest(f"--csv: {csv} exists and is no .csv file: it would be lost")
    opened = Bundle.open(bundle, threads, engine)  # type: ignore[arg-type]  # checked where it is opened
    if not as_json:
        heading = f"{opened.card.name}: for research and education, not a medical device"
        typer.echo("\n".join([heading, *opened.warnings]), err=True)
    if heatmaps and not opened.has_heatmaps:
        typer.echo(f"secondread: this bundle draws no heatmaps: {opened.card.no_heatmaps}", err=True)
        heatmaps = None
    counts, own = Counter[str](), [csv] if csv else []
    with _table(csv, columns_of(opened.card.classes)) as into_table:
        for reading in read_images(opened, images, heatmaps=heatmaps, own=own):
            counts[reading["status"]] += 1
            into_table(reading)
            typer.echo(json.dumps(reading) if as_json else _in_a_line(reading))
    for written in (csv, heatmaps):
        if written and written.exists():  # of files that all failed there are no heatmaps
            typer.echo(written, err=as_json)
    _conclude(opened.card.to_json(), counts)


def _conclude(card: dict[str, Any], counts: Counter[str]) -> None:
    """Say what is to be known about all of them; raises `typer.Exit` when some could not be read."""
    from secondread.models.bundle.promise import surprise

    if unlike := surprise(card, counts["refused"], counts.total() - counts["failed"]):
        typer.echo(f"secondread: {unlike}", err=True)
    if counts["failed"] or not counts:
        failed = f"{counts['failed']} of {counts.total()} files could not be read"
        typer.echo(f"secondread: {failed if counts else 'there is no file in what was given'}", err=True)
        raise typer.Exit(3)


def _in_a_line(reading: dict[str, Any]) -> str:
    file = _printable(reading["file"])
    if reading["status"] == "failed":
        return f"{file}\tfailed\t{_printable(reading['reason'])}"
    chances = "  ".join(f"{name} {p:.3f}" for name, p in reading["probabilities"].items())
    decision = reading["decision"] if isinstance(reading["decision"], str) else ", ".join(reading["decision"]) or "none"
    reason = "".join(f"\t{reading[key]}" for key in ("reason", "frames") if reading.get(key))
    return f"{file}\t{reading['status']}\t{decision}\t{chances}{reason}"


def _printable(text: str) -> str:
    """Without what ends a line, moves a column or tells a terminal to do something: names come from strangers."""
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)


@contextmanager
def _table(path: Path | None, columns: list[str]) -> Iterator[Callable[[dict[str, Any]], None]]:
    """What takes readings one by one into the table that stands at `path` when all are read.

    It grows in the system's temporary folder: beside `path` it could lie among the files that are being read.
    """
    if path is None:
        yield lambda reading: None
        return
    import csv
    import tempfile
    from shutil import copyfileobj

    from secondread.core.files import atomic_path, check_writable
    from secondread.models.bundle.reading import in_columns

    check_writable(path)
    letters: dict[str, Any] = {
        "encoding": "utf8",
        "errors": "backslashreplace",
        "newline": "",
    }  # a file's name may be no UTF-8
    with tempfile.TemporaryFile("w+", **letters) as growing:
        table = csv.DictWriter(growing, columns, extrasaction="ignore", lineterminator="\n")
        table.writeheader()
        yield lambda reading: table.writerow(in_columns(reading))
        growing.seek(0)
        with atomic_path(path) as temporary, open(temporary, "w", **letters) as whole:
            copyfileobj(growing, whole)


def prove(
    bundle: Annotated[Path, typer.Argument(help="A bundle folder or zip.", show_default=False)],
    images: Annotated[
        Path,
        typer.Argument(
            help="Labelled images: a folder, table, npz or DICOM tree, or a study file whose `gather` reads them.",
            show_default=False,
        ),
    ],
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder of the proof; NAME-proof after the images when not given.")
    ] = None,
    margin: Annotated[
        float, typer.Option("--margin", help="What may be lost of AUROC, sensitivity or specificity.")
    ] = 0.05,
    labels: Annotated[
        list[str] | None,
        typer.Option("--labels", metavar="CLASS=NAMES", help="What a class of the bundle is called there: X=a,b"),
    ] = None,
    data: Annotated[
        Path | None, typer.Option("--data", help="Where the data of a study file lie ($SECONDREAD_DATA).")
    ] = None,
    threads: Annotated[int | None, typer.Option("--threads", min=1, help="Threads; all cores when not given.")] = None,
    engine: Annotated[str, typer.Option("--engine", help="onnxruntime, or openvino where it is installed.")] = RUNTIME,
) -> None:
    """Does a bundle hold elsewhere? Its promised scores beside those on labelled images it has not seen."""
    from secondread import api

    proof = api.prove(bundle, images, out, margin, data, _named(labels or []), threads, engine)
    for sentence in proof.told["sentences"]:
        typer.echo(sentence)
    for path in (proof.report, proof.folder / "scores.csv", proof.folder / "readings.csv"):
        typer.echo(path)


def _named(labels: list[str]) -> dict[str, list[str]]:
    """`X=a,b` as `{X: [a, b]}`."""
    from secondread.core.errors import WrongRequest

    if wrong := next((one for one in labels if not all(one.partition("=")[::2])), None):
        raise WrongRequest(f"--labels {wrong}: give a class of the bundle and its names there, as X=a,b")
    return {one.partition("=")[0]: one.partition("=")[2].split(",") for one in labels}


def bench(
    bundles: Bundles,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the measurements as JSON.")] = None,
    study: Annotated[
        Path | None, typer.Option("--study", help="The study directory, when the bundle was moved.")
    ] = None,
    repeats: Annotated[int, typer.Option("--repeats", min=3, help="Timed calls per setting.")] = 20,
    threads: Annotated[int | None, typer.Option("--threads", min=1, help="Threads; all cores when not given.")] = None,
) -> None:
    """Native PyTorch against ONNX Runtime (fp32, int8; OpenVINO too where it is): latency, throughput, agreement."""
    from secondread.export.bench import bench as measure
    from secondread.export.bench import write_measurements

    table = measure(bundles, study=study, repeats=repeats, threads=threads)
    typer.echo(table.to_string(index=False))
    if json_file:
        write_measurements(json_file, table)
    for path in [*table.attrs["left"], *([json_file] if json_file else [])]:
        typer.echo(path)


def serve(
    bundles: Bundles,
    host: Annotated[str, typer.Option("--host", help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", help="Port to listen on.")] = 8000,
    folder: Annotated[Path | None, typer.Option("--folder", help="Where uploads, database and secret live.")] = None,
) -> None:
    """The web application: accounts, upload, reading, history, API."""
    from secondread.core.errors import WrongRequest

    if not hasattr(os, "fork"):
        raise WrongRequest("the web application runs on Linux and macOS; on Windows start it in WSL or the container")
    from secondread.serve.run import serve as start

    start(bundles, host=host, port=port, data_folder=folder)
