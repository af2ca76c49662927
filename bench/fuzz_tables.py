"""Mutated tables and npz files through the sources: rows or a typed error, nothing else.

    python bench/fuzz_tables.py [--mutations 5000] [--seed 0]

Prints counts as JSON and exits with 1 when anything but rows or an error of ours came out, or when one file took 5 s.
"""

from __future__ import annotations

import argparse
import io
import json
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from secondread.core.errors import SecondreadError
from secondread.core.registry import find
from secondread.core.spec import Gather
from secondread.gather.contents import content_ids
from secondread.gather.found import Found
from secondread.gather.labels import labelled
from secondread.gather.patients import recognised

SECONDS = 5.0


def main() -> int:
    told = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    told.add_argument("--mutations", type=int, default=5000)
    told.add_argument("--seed", type=int, default=0)
    given = told.parse_args()
    counts: Counter[str] = Counter()
    findings, slowest = [], 0.0
    with tempfile.TemporaryDirectory() as scratch:
        folders = corpus(Path(scratch))
        for number in range(given.seed, given.seed + given.mutations):
            began = time.perf_counter()
            name, outcome = outcome_of(folders, number)
            seconds = time.perf_counter() - began
            slowest = max(slowest, seconds)
            counts[f"{name}: {outcome.split(':')[0]}"] += 1
            if outcome.startswith("!") or seconds > SECONDS:
                findings.append(f"{number}: {outcome} ({seconds:.1f} s)")
    print(json.dumps({"mutations": given.mutations, "outcomes": dict(counts.most_common()),
                      "slowest_s": round(slowest, 3), "findings": findings[:40]}, indent=1))  # fmt: skip
    return 1 if findings else 0


def corpus(root: Path) -> list[tuple[str, Path, bytes]]:
    """(source, file to be mutated, its content): one folder per kind."""
    names = [f"{k}.png" for k in range(8)]
    made = []
    for kind, content in contents(names).items():
        folder = root / kind.replace(".", "_")
        folder.mkdir(parents=True)
        for number, name in enumerate(names):
            Image.fromarray(np.full((6, 6), number, np.uint8)).save(folder / name)
        source = {"labels.csv": "table", "flags.csv": "table", "book.xlsx": "table", "columns.parquet": "table",
                  "Data_Entry.csv": "nih", "train.csv": "chexpert", "set.npz": "npz"}[kind]  # fmt: skip
        made.append((source, folder / kind, content))
    return made


def contents(names: list[str]) -> dict[str, bytes]:
    labels = pd.DataFrame({"file": names, "label": list("aabbaabb"), "patient": range(8), "age": ["054Y"] * 8})
    flags = pd.DataFrame({"file": names, "A": [1, 0, -1, None] * 2, "B": [0, 1, 0, 1] * 2})
    nih = pd.DataFrame({"Image Index": names, "Finding Labels": ["X|Y", "No Finding"] * 4, "Patient ID": range(8),
                        "Patient Age": range(8), "Patient Gender": "M", "View Position": "PA"})  # fmt: skip
    chexpert = pd.DataFrame({"Path": names, "Sex": "F", "Age": 5, "Frontal/Lateral": "Frontal", "AP/PA": "PA",
                             "Edema": [1, 0, -1, None] * 2, "Pneumonia": 1.0})  # fmt: skip
    book, columns, arrays = io.BytesIO(), io.BytesIO(), io.BytesIO()
    labels.to_excel(book, index=False)
    labels.to_parquet(columns)
    np.savez_compressed(arrays, train_images=np.zeros((4, 6, 6), np.uint8), train_labels=np.array([[0], [1], [0], [1]]))
    return {
        "labels.csv": labels.to_csv(index=False).encode(), "flags.csv": flags.to_csv(index=False).encode(),
        "Data_Entry.csv": nih.to_csv(index=False).encode(), "train.csv": chexpert.to_csv(index=False).encode(),
        "book.xlsx": book.getvalue(), "columns.parquet": columns.getvalue(), "set.npz": arrays.getvalue(),
    }  # fmt: skip


def outcome_of(folders: list[tuple[str, Path, bytes]], number: int) -> tuple[str, str]:
    """`rows`, the kind of our error, or what else came out, marked with an exclamation mark."""
    source, path, content = folders[number % len(folders)]
    path.write_bytes(mutated(content, np.random.default_rng([number, 3])))
    try:
        gather = Gather()
        found: Found = find("sources", source).call(path.parent, gather)
        final = labelled(found, gather)
        recognised(final.found, "auto")
        content_ids(final.found.root, final.found.rows)
    except SecondreadError as error:
        return path.name, type(error).__name__
    except BaseException as error:
        return path.name, f"!{type(error).__name__}: {error}"[:200].replace("\n", " ")
    return path.name, "rows"


def mutated(content: bytes, draw: np.random.Generator) -> bytes:
    """1-5 changes: bytes set, runs deleted or doubled, separators and quotes strewn in, the end cut off."""
    changed = bytearray(content)
    for _ in range(int(draw.integers(1, 6))):
        at, what = int(draw.integers(0, max(len(changed), 1))), draw.random()
        if what < 0.4 and changed:
            changed[at] = int(draw.integers(0, 256))
        elif what < 0.6:
            del changed[at : at + int(draw.integers(1, 30))]
        elif what < 0.75:
            changed[at:at] = changed[at : at + int(draw.integers(1, 60))]
        elif what < 0.92:
            changed[at:at] = bytes([int(draw.choice(list(b',";|\n\t\0\xff-1')))])
        else:
            del changed[at:]
    return bytes(changed)


if __name__ == "__main__":
    sys.exit(main())
