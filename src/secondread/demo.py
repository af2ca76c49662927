"""`secondread demo`: the whole road on phantom images, in a few minutes."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path

from secondread import pipeline
from secondread.core.studydir import StudyDir
from secondread.core.studyfile import check_parts, parse_study, save_study

IMAGES, SIDE, CONTRAST = 900, 96, 1.5  # findings a little plainer than in life: a small CNN learns them in minutes

STUDY = {
    "study": "demo",
    "about": "Phantom chest X-rays, normal against pneumonia: does treating the imbalance help?",
    "gather": {
        "source": {"name": "class_folders", "root": "images"},
        "classes": {
            "NORMAL": {"text": "No sign of pneumonia was found in this image."},
            "PNEUMONIA": {"text": "The image looks like those with pneumonia. A radiologist decides."},
        },
    },
    "prepare": {"split": {"name": "grouped", "test": 0.25, "val": 0.2}},
    "synthesize": {"gans": [{"name": "dcgan", "width": 24}], "for": ["NORMAL"], "size": 32, "steps": 400, "batch": 32,
                   "sheet_every": 50, "samples": 300},
    "train": {
        "models": ["plain_cnn"],
        "size": 64, "epochs": 14, "batch": 32, "augment": "light",
        "optimiser": {"name": "adamw", "lr": 4e-3, "weight_decay": 1e-2},
        "track": {"tensorboard": "scalars"},
    },
    "arms": {
        "imbalanced": {},
        "sampler": {"balance": "sampler"},
        "dcgan": {"balance": {"name": "top_up", "from": "dcgan", "to": "majority"}},
    },
    "evaluate": {"baseline": "imbalanced", "bootstrap": 500},
    "explain": {"cases": 12},
}  # fmt: skip


def run_demo(out: Path) -> Iterator[str]:
    """Make the phantom and run the demo's study in `out`; yields the lines that tell what to open next.

    What is there already is not made again.
    """
    data = out / "data"
    if not (data / "images").exists():
        from secondread.images.phantom import PhantomSpec, write_phantom

        write_phantom(
            PhantomSpec(preset="cxr-binary", n=IMAGES, size=SIDE, seed=7, contrast=CONTRAST), data / "images", "folder"
        )
    study = parse_study(STUDY, "demo")
    check_parts(study)
    save_study(study, out / "demo.yaml", "secondread run demo.yaml --data data")
    where = StudyDir((out / "study").resolve(), data.resolve())
    save_study(study, where.study_file)
    pipeline.run(study, where)
    image = next(path for path in sorted((data / "images").rglob("*.png")))
    yield "The demo is done. What to open next:"
    for path in pipeline.results(where):
        yield f"  {path}"
    bundle = next((path for path in pipeline.results(where) if path.is_dir()), None)
    if bundle:
        yield "Read an image with the bundle, or serve it:"
        yield from (f"  {command}" for command in commands(bundle, image))


def commands(bundle: Path, image: Path) -> list[str]:
    """What to type next; folders may have spaces in their names."""
    return [
        shlex.join(["secondread", "read", str(bundle), str(image)]),
        shlex.join(["secondread", "serve", str(bundle)]),
    ]
