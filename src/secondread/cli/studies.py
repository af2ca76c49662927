"""Commands on studies: run, check, status, tune, demo, and every step alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

File = Annotated[Path, typer.Argument(help="The study file (YAML).", show_default=False)]
Files = Annotated[list[Path], typer.Argument(help="Study files (YAML).", show_default=False)]
Data = Annotated[
    Path | None, typer.Option("--data", help="Folder that the study's `root` is relative to ($SECONDREAD_DATA).")
]
Out = Annotated[Path | None, typer.Option("--out", help="The study directory; runs/<study> when not given.")]
Outs = Annotated[
    Path | None,
    typer.Option("--out", help="The study directory, or of several studies the folder of theirs; else runs/<study>."),
]
Only = Annotated[str | None, typer.Option("--only", help="Glob over arm/model/r0f0s0: which trials.")]
Smoke = Annotated[bool, typer.Option("--smoke", help="The same study tiny, to prove that it works.")]

# The steps as commands, in the words of their rooms; kept here so that --help imports no step.
STEPS = {
    "gather": "Raw folders, tables, npz or DICOM → rows.",
    "prepare": "Audit, clean, split and cache.",
    "synthesize": "Train GANs on rare classes and judge their images.",
    "balance": "Decide which rows count how often in each arm.",
    "train": "Train every trial that is missing or stale.",
    "predict": "Predict validation and test rows of every trial.",
    "evaluate": "Operating points, scores, comparisons and the report.",
    "explain": "Grad-CAM and its quality.",
    "export": "The picked trial as an ONNX bundle.",
}


def add_to(app: typer.Typer) -> None:
    app.command()(demo)
    app.command()(run)
    app.command()(check)
    app.command()(status)
    app.command()(tune)
    for name, summary in STEPS.items():
        app.command(name, help=f"The step alone. {summary}", rich_help_panel="Steps")(_step_command(name))


def run(files: Files, data: Data = None, out: Outs = None, only: Only = None, smoke: Smoke = False) -> None:
    """Run studies, one after the other: every step that is missing or stale."""
    from secondread.core.errors import SecondreadError, WrongRequest
    from secondread.core.progress import say

    stems = [file.stem for file in files]
    if out and (twice := next((stem for stem in stems if stems.count(stem) > 1), None)):
        raise WrongRequest(f"--out: two study files are called {twice}: both would be written to {out / twice}")
    failed: list[tuple[Path, SecondreadError]] = []
    for file in files:
        try:
            if len(files) > 1:
                say(f"═══ {file}")
            _one(file, data, out / file.stem if out and len(files) > 1 else out, only, smoke)
        except SecondreadError as error:
            if len(files) == 1:
                raise
            say(f"{file} failed: {error}")
            failed.append((file, error))
    if failed:
        names = ", ".join(str(file) for file, _ in failed)
        raise type(failed[0][1])(f"{len(failed)} of {len(files)} studies failed: {names}; the reasons are above")


def _one(file: Path, data: Path | None, out: Path | None, only: str | None, smoke: bool) -> None:
    from secondread import pipeline

    study, where = pipeline.open_study(file, data, out, only, smoke)
    pipeline.run(study, where)
    for path in pipeline.results(where):
        typer.echo(path)


def check(files: Files) -> None:
    """Validate study files and the parts they name, without touching data."""
    from secondread import pipeline
    from secondread.core.errors import WrongRequest
    from secondread.core.studydir import StudyDir
    from secondread.core.studyfile import load_study
    from secondread.core.trials import trials

    for file in files:
        study = load_study(file)
        try:
            pipeline.check(study)
        except WrongRequest as error:
            raise WrongRequest(f"{file}: {error}") from error
        count = sum(1 for _ in trials(study, StudyDir(Path())))
        arms = f"{len(study.arms)} arm{'s' * (len(study.arms) != 1)}"
        typer.echo(f"{file}: {study.study}, {arms}, {count} trial{'s' * (count != 1)}")


def status(
    folder: Annotated[Path, typer.Argument(help="The study directory.", show_default=False)],
    as_json: Annotated[bool, typer.Option("--json", help="One JSON list of every unit.")] = False,
) -> None:
    """What is done, stale, failed or missing in a study directory."""
    from secondread import pipeline
    from secondread.core.studydir import StudyDir

    units = pipeline.status(StudyDir(folder.resolve(), data=None))
    if as_json:
        typer.echo(json.dumps(units, indent=1))
        return
    for step in dict.fromkeys(unit["step"] for unit in units):
        states = [unit["state"] for unit in units if unit["step"] == step]
        counts = ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(states))
        typer.echo(f"{step:<11} {counts}")
    for unit in units:
        if unit["state"] == "failed":
            typer.echo(f"failed: {unit['step']} {unit['unit']}: {unit['reason']}")


def tune(
    file: File,
    trials: Annotated[int, typer.Option("--trials", min=1, help="How many settings to try.")],
    data: Data = None,
    out: Out = None,
) -> None:
    """Search `train.search` with Optuna, judged on validation only; writes the best settings as a study file."""
    from secondread import pipeline

    study, where = pipeline.open_study(file, data, out)
    for path in pipeline.tune(study, where, trials):
        typer.echo(path)


def demo(
    out: Annotated[Path, typer.Option("--out", help="Where the demo lives.")] = Path("demo"),
) -> None:
    """Phantom images → a small study → report, heatmaps and a bundle."""
    from secondread.demo import run_demo

    for line in run_demo(out):
        typer.echo(line)


def _step_command(name: str):  # type: ignore[no-untyped-def]  # typer reads the inner signature
    def step(file: File, data: Data = None, out: Out = None, only: Only = None) -> None:
        from secondread import pipeline

        study, where = pipeline.open_study(file, data, out, only)
        pipeline.run(study, where, (name,))
        units = pipeline.step_named(name).face().units(study, where)
        for path in dict.fromkeys(unit.done_file.parent for unit in units):
            typer.echo(path)

    return step
