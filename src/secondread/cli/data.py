"""Commands on data: audit, plan and phantom."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def add_to(app: typer.Typer) -> None:
    app.command()(audit)
    app.command()(plan)
    app.command()(phantom)


def audit(
    data: Annotated[Path, typer.Argument(help="A folder, table, npz or DICOM tree.", show_default=False)],
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the findings as JSON.")] = None,
    html_file: Annotated[
        Path | None, typer.Option("--html", help="Write the findings as a page with the images.")
    ] = None,
) -> None:
    """What is wrong with a data set: unreadable files, duplicates, leaks, conflicts, shortcuts."""
    from secondread import api
    from secondread.core.files import write_json

    report = api.audit(data, html=html_file)
    typer.echo(audit_in_words(report.as_dict()))
    if json_file:
        write_json(json_file, report.as_dict())
    for path in (json_file, html_file):
        if path:
            typer.echo(path)


def plan(
    data: Annotated[Path, typer.Argument(help="A folder, table, npz or DICOM tree.", show_default=False)],
    out: Annotated[
        Path | None, typer.Option("--out", help="The study file; NAME.yaml after the data when not given.")
    ] = None,
    minutes: Annotated[float, typer.Option("--minutes", min=1, help="What the training may take here.")] = 60,
) -> None:
    """Write a study file for a data set: what the audit finds and this machine's pace decide, each line says why."""
    from secondread import api
    from secondread.planning.making import forbid_overwriting
    from secondread.prepare.report import name_of

    path = out or Path(f"{name_of(data.resolve())}.yaml")
    forbid_overwriting(path)  # before minutes of looking and measuring
    made = api.plan(data, minutes)
    made.write(path)
    typer.echo(made.text)
    typer.echo(path)


def audit_in_words(found: dict) -> str:  # type: ignore[type-arg]
    """The audit as a person reads it in a terminal: how the data were understood, then what is wrong with them."""
    from secondread.prepare.material import many

    counts = ", ".join(f"{name} {count}" for name, count in found["classes"].items())
    lines = [
        *found["notes"],
        *found["banners"],
        f"{found['files']} images, {found['readable']} readable, {found['distinct_bytes']} distinct; "
        f"{many(found['exact_groups'], 'group')} of exact duplicates "
        f"({found['exact_groups_across_classes']} across classes), {found['near_groups']} of near duplicates",
        f"{found['task']}: {counts}",
        f"{found['patients']} patients, {found['patients_across_classes']} in several classes, "
        f"{found['patients_across_splits']} on both sides of a given split",
    ]
    for probe, told in found["probes"].items():
        if told and told.get("auroc") is not None:
            interval = f"{told['auroc']:.3f} ({told['low']:.3f}–{told['high']:.3f})"
            lines.append(f"{probe} alone predicts the class with AUROC {interval}")
    marks = {"error": "✗", "warning": "!", "info": "·"}
    lines += [f"{marks[finding['severity']]} {finding['message']}" for finding in found["findings"]]
    return "\n".join(lines)


def phantom(
    preset: Annotated[
        str, typer.Argument(help="cxr-binary, cxr-3class, cxr-multilabel or mri-binary.", show_default=False)
    ],
    out: Annotated[Path, typer.Argument(help="A new folder.", show_default=False)],
    n: Annotated[int, typer.Option("--n", min=1, help="How many images.")] = 600,
    seed: Annotated[int, typer.Option("--seed", help="The same seed draws the same images.")] = 0,
    tree: Annotated[
        str, typer.Option("--format", help="folder, chexpert, nih, radiography, kermany, npz or dicom.")
    ] = "folder",
    size: Annotated[int, typer.Option("--size", min=32, help="Side in pixels.")] = 224,
    confounding: Annotated[
        float, typer.Option("--confounding", min=0, max=1, help="How strongly the site follows the class.")
    ] = 0.0,
    contrast: Annotated[float, typer.Option("--contrast", min=0, help="Strength of the findings.")] = 1.0,
    label_noise: Annotated[
        float, typer.Option("--label-noise", min=0, max=0.5, help="Share of labels that are wrong.")
    ] = 0.0,
    imbalance: Annotated[
        list[str] | None, typer.Option("--imbalance", help="CLASS=SHARE, as often as wanted; else the preset's.")
    ] = None,
    visits: Annotated[int, typer.Option("--visits", min=1, help="Most images of one patient.")] = 3,
    defects: Annotated[bool, typer.Option("--defects", help="Inject duplicates, broken and odd files.")] = False,
) -> None:
    """A synthetic data set with known truth, in the exact tree of the public sets."""
    from secondread import api

    made = api.phantom(preset, out, n=n, seed=seed, format=tree, size=size, confounding=confounding, contrast=contrast,
                       label_noise=label_noise, imbalance=shares(imbalance or []), visits=visits,
                       defects=defects)  # fmt: skip
    for path in made:
        typer.echo(path)


def shares(written: list[str]) -> dict[str, float] | None:
    """`CLASS=SHARE` as numbers by class; raises `WrongRequest` for what is not of that form."""
    from secondread.core.errors import WrongRequest

    found = {}
    for one in written:
        name, equals, share = one.rpartition("=")
        try:
            found[name] = float(share)
        except ValueError:
            equals = ""
        if not equals:
            raise WrongRequest(f"--imbalance: {one!r} is not of the form CLASS=SHARE, for example COVID=0.05")
    return found or None
