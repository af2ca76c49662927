"""How long gathering, splitting and the search for duplicates take, at 1k, 10k, 100k and 225k rows.

    python bench/gather.py [--rows 1000 10000 100000 225000] [--folder DIR]

Makes as many distinct tiny images and a CheXpert-like table (14 observations, 1-6 images per patient), gathers and
splits them through the steps' own functions, and prints seconds as JSON, one line per size. The duplicate search works
on hashes with the skew of radiographs (bits that vary together) with known near copies, and prints how many it found;
its time may not grow with the square of the rows. Files are kept and used again where --folder is given.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
import zlib
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from secondread.core.registry import resolve
from secondread.core.spec import ref
from secondread.core.studydir import StudyDir
from secondread.core.studyfile import parse_study
from secondread.core.tables import labels_of, read_dataset, read_table
from secondread.gather import run as gather
from secondread.gather.chexpert import OBSERVATIONS
from secondread.prepare import run as prepare
from secondread.prepare.near import FEW_IMAGES, RADIUS, SMALL_RADIUS, candidate_pairs


def main() -> None:
    told = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    told.add_argument("--rows", type=int, nargs="+", default=[1000, 10_000, 100_000, 225_000])
    told.add_argument("--folder", type=Path)
    given = told.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        for count in given.rows:
            data = (given.folder or Path(scratch)) / f"rows{count}"
            if not data.exists():
                write_files(data, count)
            line = {"rows": count, **steps(data, Path(scratch) / f"study{count}"), **duplicates(count)}
            print(json.dumps(line), flush=True)


def steps(data: Path, out: Path) -> dict[str, float]:
    """Seconds of gather (table, files, hashes) and of grouping, splitting and the proof."""
    written = {"study": "bench", "gather": {"source": "chexpert"}, "prepare": {"checks": ["duplicates"]}}
    study, where = parse_study(written), StudyDir(out, data)
    began, busy = time.perf_counter(), time.process_time()
    gather.run(study, where)
    gathered = time.perf_counter()
    prepare.audit_and_clean(study, where)
    grouped = time.perf_counter()
    rows, dataset = read_table(where.clean_rows), read_dataset(where.dataset)
    splits = resolve("splits", ref("grouped"))(rows, labels_of(rows, dataset.classes), 0)
    prepare.prove(rows, splits, dataset.classes, leaky=False, patients_known=True, exclusive=False)
    split = time.perf_counter()
    return {"gather_s": round(gathered - began, 2), "group_s": round(grouped - gathered, 2),
            "split_s": round(split - grouped, 2), "gather_and_split_s": round(split - began, 2),
            "of_it_cpu_s": round(time.process_time() - busy, 2)}  # fmt: skip


def duplicates(count: int) -> dict[str, float]:
    """Seconds to propose near duplicates among skewed hashes, and the share of 1 % planted ones that it proposes."""
    draw = np.random.default_rng(count)
    hashes = skewed_hashes(draw, count)
    planted = draw.choice(count, max(1, count // 100), replace=False)
    radius = RADIUS if count <= FEW_IMAGES else SMALL_RADIUS
    copies = hashes[planted] ^ flips(draw, len(planted), radius)
    both = np.concatenate([hashes, copies])
    began = time.perf_counter()
    pairs = 0
    met: set[int] = set()
    for block in candidate_pairs(both, both, radius):
        pairs += len(block)
        new = block[block[:, 1] >= count]
        met.update(new[new[:, 0] == planted[new[:, 1] - count], 1].tolist())
    return {"near_s": round(time.perf_counter() - began, 2), "near_candidates": pairs,
            "near_found": round(len(met) / len(planted), 4)}  # fmt: skip


def skewed_hashes(draw: np.random.Generator, count: int) -> NDArray[np.uint64]:
    """63-bit hashes whose bits follow 12 common causes, as those of pictures of one kind do."""
    causes = draw.normal(size=(count, 12)).astype(np.float32)
    loads = draw.normal(size=(12, 63)).astype(np.float32)
    bits = causes @ loads + 2.0 * draw.normal(size=(count, 63)).astype(np.float32) > 0
    weights = np.uint64(1) << np.arange(63, dtype=np.uint64)
    return (bits * weights).sum(axis=1, dtype=np.uint64)


def flips(draw: np.random.Generator, count: int, most: int) -> NDArray[np.uint64]:
    """Masks with up to `most` bits set."""
    masks = np.zeros(count, np.uint64)
    for _ in range(most):
        masks |= np.where(draw.random(count) < 0.6, np.uint64(1) << draw.integers(0, 63, count).astype(np.uint64), 0)
    return masks


def write_files(data: Path, count: int) -> None:
    """`train.csv`, `valid.csv` and one distinct 8 x 8 PNG per row, in CheXpert's folders."""
    draw = np.random.default_rng(count)
    patients = np.repeat(np.arange(count), draw.integers(1, 7, count))[:count]
    root = data / "CheXpert-v1.0-small"
    paths = [f"train/patient{p:06}/study{k % 3 + 1}/view{k}_frontal.png" for k, p in enumerate(patients)]
    for number, path in enumerate(paths):
        file = root / path
        if number == 0 or patients[number] != patients[number - 1] or not file.parent.exists():
            file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(tiny_png(number))
    values = draw.choice(np.array([np.nan, 0.0, 1.0, -1.0]), (count, 14), p=[0.6, 0.15, 0.2, 0.05])
    facts = pd.DataFrame(
        {
            "Path": [f"CheXpert-v1.0-small/{path}" for path in paths],
            "Sex": "F",
            "Age": draw.integers(18, 90, count),
            "Frontal/Lateral": "Frontal",
            "AP/PA": "AP",
        }
    )
    pd.concat([facts, pd.DataFrame(values, columns=OBSERVATIONS)], axis=1).to_csv(root / "train.csv", index=False)


def tiny_png(number: int) -> bytes:
    """An 8 x 8 grey PNG unlike that of any other number."""
    pixels = number.to_bytes(4, "big") * 16
    lines = b"".join(b"\0" + pixels[8 * k : 8 * k + 8] for k in range(8))
    parts = ((b"IHDR", bytes([0, 0, 0, 8, 0, 0, 0, 8, 8, 0, 0, 0, 0])), (b"IDAT", zlib.compress(lines)), (b"IEND", b""))
    chunks = [len(body).to_bytes(4, "big") + kind + body + zlib.crc32(kind + body).to_bytes(4, "big")
              for kind, body in parts]  # fmt: skip
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


if __name__ == "__main__":
    main()
