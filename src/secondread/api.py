"""The verbs as Python functions, for scripts and notebooks.

import secondread as sr
study = sr.run("study.yaml", data="images")
study.scores        # a DataFrame
study.report        # a path
sr.read(study.bundles[0], ["new.png"])
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from secondread import pipeline
from secondread.core.files import read_json
from secondread.core.spec import Study
from secondread.core.studydir import StudyDir, needed
from secondread.core.studyfile import load_study
from secondread.core.tables import read_results

if TYPE_CHECKING:
    from secondread.planning import Plan
    from secondread.prepare.report import Audit
    from secondread.proving import Proof

AnyPath = str | Path


@dataclass(frozen=True)
class Result:
    """A study directory and what lies in it; in a notebook it shows its picks and verdicts."""

    where: StudyDir

    @property
    def scores(self) -> pd.DataFrame:
        return read_results(needed(self.where.scores, "evaluate"))

    @property
    def comparisons(self) -> pd.DataFrame:
        return read_results(needed(self.where.comparisons, "evaluate"))

    @property
    def report(self) -> Path:
        return needed(self.where.report, "evaluate")

    @property
    def bundles(self) -> list[Path]:
        """Those of the study as it is now; what export set aside lies one folder deeper."""
        return sorted(path.parent for path in (self.where.root / "export").glob("*/*/card.json"))

    def _repr_html_(self) -> str:
        from html import escape

        if not self.where.report.exists():
            return f"<p><code>{escape(str(self.where.root))}</code> has no report yet; sr.status tells more</p>"
        told = read_json(self.where.summary)
        red = "".join(f'<p style="color:#b3261e"><b>{escape(one)}</b></p>' for one in told["banners"])
        said = "".join(f"<p>{escape(one)}</p>" for one in told["sentences"])
        return f"{red}{said}<p>Report: <code>{escape(str(self.where.report))}</code></p>"


def run(
    file: AnyPath, data: AnyPath | None = None, out: AnyPath | None = None, only: str | None = None, smoke: bool = False
) -> Result:
    """Run a study file: every step that is missing or stale. Raises `SecondreadError` with what to mend."""
    study, where = pipeline.open_study(Path(file), _path(data), _path(out), only, smoke)
    pipeline.run(study, where)
    return Result(where)


def status(folder: AnyPath) -> pd.DataFrame:
    """What is done, stale, failed or missing in a study directory: one row per unit, and why it failed."""
    columns = ["step", "unit", "state", "reason"]
    return pd.DataFrame(pipeline.status(StudyDir(Path(folder).resolve())), columns=columns)


def tune(file: AnyPath, trials: int, data: AnyPath | None = None, out: AnyPath | None = None) -> list[Path]:
    """Search `train.search` on validation: the table of the settings tried, and the study file with the best one."""
    study, where = pipeline.open_study(Path(file), _path(data), _path(out))
    return pipeline.tune(study, where, trials)


def check(file: AnyPath) -> Study:
    """The study of a file, its keys, parts and options checked."""
    study = load_study(Path(file))
    pipeline.check(study)
    return study


def audit(data: AnyPath, html: AnyPath | None = None) -> Audit:
    """What is wrong with a data set; shows itself in a notebook."""
    from secondread.prepare.report import audit_folder

    return audit_folder(Path(data), html=_path(html))


def plan(data: AnyPath, minutes: float = 60) -> Plan:
    """A study for a data set that trains for about so many minutes here; `.text` says why, `.write(path)` saves it."""
    from secondread.planning import plan as planned

    return planned(Path(data), minutes)


def read(
    bundle: AnyPath, images: Sequence[AnyPath] | AnyPath, heatmaps: AnyPath | None = None, threads: int | None = None,
    engine: str = "onnxruntime",
) -> pd.DataFrame:  # fmt: skip
    """Read images with a bundle: one row per file, columns as of `secondread read --csv`, and the heatmaps written."""
    from secondread.models.bundle import Bundle
    from secondread.models.bundle.reading import columns_of, in_columns, read_images

    paths = [Path(images)] if isinstance(images, str | Path) else [Path(image) for image in images]
    opened = Bundle.open(Path(bundle), threads, engine)  # type: ignore[arg-type]  # checked where it is opened
    found = [in_columns(reading) for reading in read_images(opened, paths, heatmaps=_path(heatmaps))]
    written = ["heatmaps"] if heatmaps is not None else []
    return pd.DataFrame(found, columns=[*columns_of(opened.card.classes), *written])


def prove(
    bundle: AnyPath, images: AnyPath, out: AnyPath | None = None, margin: float = 0.05, data: AnyPath | None = None,
    labels: Mapping[str, list[str]] | None = None, threads: int | None = None, engine: str = "onnxruntime",
) -> Proof:  # fmt: skip
    """Does a bundle hold on labelled images it has not seen? `.outcome`, `.claims`, `.scores`, `.report`.

    `labels`: what its classes are called there, `{"PNEUMONIA": ["infiltrate", "effusion"]}`.
    """
    from secondread.models.bundle import Bundle
    from secondread.proving import prove as proven
    from secondread.proving.unseen import is_study_file

    base = pipeline.data_root(_path(data)) if is_study_file(Path(images)) else None
    opened = Bundle.open(Path(bundle), threads, engine)  # type: ignore[arg-type]  # checked where it is opened
    return proven(opened, Path(images), _path(out), margin, base, labels)


def bench(
    bundles: Sequence[AnyPath] | AnyPath, study: AnyPath | None = None, repeats: int = 20, threads: int | None = None
) -> pd.DataFrame:
    """Native PyTorch against ONNX Runtime: one row per bundle, engine and batch, columns as of `bench --json`."""
    from secondread.export.bench import bench as measure

    folders = [bundles] if isinstance(bundles, str | Path) else bundles
    return measure([Path(one) for one in folders], study=_path(study), repeats=repeats, threads=threads)


def phantom(preset: str, out: AnyPath, format: str = "folder", **knobs: Any) -> list[Path]:
    """Write a synthetic data set with known truth; `knobs` are those of `images.phantom.PhantomSpec`."""
    from secondread.images.phantom import PhantomSpec, write_phantom

    write_phantom(PhantomSpec(preset=preset, **knobs), Path(out), format)
    return [Path(out), Path(out).with_name(Path(out).name + "_truth")]


def _path(given: AnyPath | None) -> Path | None:
    return None if given is None else Path(given)
