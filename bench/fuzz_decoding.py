"""Mutated images and DICOM files: typed refusals only, no crash, no hang over 5 s, memory under 1 GB.

    python bench/fuzz_decoding.py [--mutations 20000] [--seed 0] [--workers 2]

Every mutation is known by its number, so that `--seed N --mutations 1` repeats one. Children work under an address
space limit of 1 GB and are killed by an alarm after 5 s on one file; a child that dies is one finding.
Prints counts as JSON and exits with 1 when anything but an image or a refusal came out.
"""

from __future__ import annotations

import argparse
import importlib.util
import io
import json
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType

import numpy as np
from PIL import Image

from secondread.images.decode import PixelSpec, Refusal, decode, display_pixels, to_model_input

MEMORY = 2**30
SECONDS = 5
BATCH = 500


def main() -> int:
    told = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    told.add_argument("--mutations", type=int, default=20_000)
    told.add_argument("--seed", type=int, default=0)
    told.add_argument("--workers", type=int, default=2)
    told.add_argument("--child", nargs=3, metavar=("CORPUS", "FIRST", "COUNT"), help=argparse.SUPPRESS)
    given = told.parse_args()
    if given.child:
        return child(Path(given.child[0]), int(given.child[1]), int(given.child[2]))
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as scratch:
        files = write_corpus(Path(scratch))
        starts = range(given.seed, given.seed + given.mutations, BATCH)
        end = given.seed + given.mutations
        with ThreadPoolExecutor(given.workers) as pool:
            told_by = pool.map(lambda start: batch(Path(scratch), start, min(BATCH, end - start)), starts)
            counts, findings, slowest, largest = Counter(), [], 0.0, 0
            for part_counts, part_findings, slow, large in told_by:
                counts += part_counts
                findings += part_findings
                slowest, largest = max(slowest, slow), max(largest, large)
    print(json.dumps({"mutations": given.mutations, "files": files, "outcomes": dict(counts.most_common()),
                      "slowest_s": round(slowest, 3), "peak_MB": largest // 1024, "findings": findings,
                      "seconds": round(time.perf_counter() - began, 1)}, indent=1))  # fmt: skip
    return 1 if findings else 0


def batch(corpus: Path, first: int, count: int) -> tuple[Counter[str], list[str], float, int]:
    """Run `count` mutations in children; after a child's death go on behind the file that killed it."""
    counts: Counter[str] = Counter()
    findings: list[str] = []
    slowest, largest, at = 0.0, 0, first
    while at < first + count:
        command = [sys.executable, __file__, "--child", str(corpus), str(at), str(first + count - at)]
        run = subprocess.run(command, capture_output=True, text=True, check=False)
        for line in run.stdout.splitlines():
            number, outcome, seconds, peak = line.split("\t")
            at = int(number) + 1
            counts[outcome] += 1
            slowest, largest = max(slowest, float(seconds)), max(largest, int(peak))
            if outcome.startswith("!"):
                findings.append(f"{number}: {outcome}")
        if run.returncode != 0:
            what = "hang" if run.returncode == -signal.SIGALRM else f"death ({run.returncode})"
            findings.append(f"{at}: {what}: {run.stderr[-300:]}")
            counts[what] += 1
            at += 1
    return counts, findings, slowest, largest


def child(corpus: Path, first: int, count: int) -> int:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    names = sorted(path for path in corpus.iterdir())
    originals = [(path.name, path.read_bytes()) for path in names]
    for number in range(first, first + count):
        name, content = originals[number % len(originals)]
        mutant = mutated(content, np.random.default_rng([number, 7]))
        signal.setitimer(signal.ITIMER_REAL, SECONDS)
        began = time.perf_counter()
        outcome = outcome_of(mutant)
        seconds = time.perf_counter() - began
        signal.setitimer(signal.ITIMER_REAL, 0)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        kind = name.split(".")[-1]
        print(
            f"{number}\t{outcome if outcome.startswith('!') else f'{kind}:{outcome}'}\t{seconds:.3f}\t{peak}",
            flush=True,
        )
    return 0


def outcome_of(content: bytes) -> str:
    """`image`, the code of the refusal, or what else came out, marked with an exclamation mark."""
    try:
        decoded = decode(content)
        for intensity in ("full_range", "percentile", "window"):
            pixels = to_model_input(decoded, PixelSpec(32, intensity=intensity))
            if pixels.shape != (32, 32) or pixels.dtype != np.uint8:
                return f"!shape {pixels.shape}"
        display_pixels(decoded)
    except Refusal as refusal:
        return refusal.code
    except BaseException as error:
        return f"!{type(error).__name__}: {error}".replace("\t", " ").replace("\n", " ")[:200]
    return "image"


def mutated(content: bytes, draw: np.random.Generator) -> bytes:
    """1-6 changes: bytes set, runs deleted, doubled or swapped, lengths blown up, the end cut off."""
    changed = bytearray(content)
    for _ in range(int(draw.integers(1, 7))):
        if len(changed) < 8:
            break
        reach = min(len(changed), 1500) if draw.random() < 0.6 else len(changed)
        at, what = int(draw.integers(0, reach)), draw.random()
        if what < 0.45:
            changed[at] = int(draw.integers(0, 256))
        elif what < 0.60:
            changed[at : at + 4] = bytes(draw.choice([0x00, 0xFF, 0x7F, 0x80], 4).astype(np.uint8))
        elif what < 0.72:
            del changed[at : at + int(draw.integers(1, 40))]
        elif what < 0.84:
            run = changed[at : at + int(draw.integers(1, 200))]
            changed[at:at] = run
        elif what < 0.92:
            other = int(draw.integers(0, reach))
            changed[at], changed[other] = changed[other], changed[at]
        else:
            del changed[int(draw.integers(max(8, len(changed) // 3), len(changed) + 1)) :]
    return bytes(changed)


def write_corpus(folder: Path) -> int:
    """Small valid files of every kind that is read."""
    golden = _golden()
    made = {f"{number:03}.dcm": content for number, content in enumerate(golden.lossless_set().values())}
    curve = np.arange(4096, dtype=np.int64)
    made["voi.dcm"] = golden.dicom_bytes(VOILUTSequence=[golden.table_item(curve, 0, 12)])
    made["modality.dcm"] = golden.dicom_bytes(ModalityLUTSequence=[golden.table_item(curve, 0, 12)])
    made["colour.dcm"] = golden.dicom_bytes(golden.colour_picture(), bits=8, photometric="RGB")
    if shutil.which("dcmcjpeg"):
        for bits in (8, 12, 16):
            made[f"sv1-{bits}.jpll.dcm"] = golden.by_dcmtk(golden.dicom_bytes(bits=bits), folder, "dcmcjpeg", "+e1")
            made[f"p14-{bits}.jpll.dcm"] = golden.by_dcmtk(golden.dicom_bytes(bits=bits), folder, "dcmcjpeg", "+el")
        made["baseline.dcm"] = golden.by_dcmtk(golden.dicom_bytes(bits=8), folder, "dcmcjpeg", "+eb")
    for path in folder.iterdir():
        path.unlink()
    made |= rasters(golden.picture(), golden.colour_picture())
    for name, content in made.items():
        (folder / name).write_bytes(content)
    return len(made)


def rasters(grey: np.ndarray, colour: np.ndarray) -> dict[str, bytes]:
    flat, rgb = Image.fromarray(grey), Image.fromarray(colour)
    wanted = [
        ("grey.png", flat, {}), ("sixteen.png", Image.fromarray(grey.astype(np.uint16) * 257), {}),
        ("palette.png", rgb.quantize(64), {}), ("alpha.png", rgb.convert("RGBA"), {}),
        ("bilevel.png", flat.convert("1"), {}),
        ("grey.jpeg", flat, {}), ("colour.jpeg", rgb, {}), ("progressive.jpeg", rgb, {"progressive": True}),
        ("cmyk.jpeg", rgb.convert("CMYK"), {}), ("raw.tiff", flat, {}), ("lzw.tiff", rgb, {"compression": "tiff_lzw"}),
        ("deflate.tiff", flat, {"compression": "tiff_adobe_deflate"}), ("jpeg.tiff", rgb, {"compression": "jpeg"}),
        ("fax.tiff", flat.convert("1"), {"compression": "group4"}), ("lossy.webp", rgb, {}),
        ("lossless.webp", rgb, {"lossless": True}), ("grey.bmp", flat, {}), ("palette.bmp", rgb.quantize(16), {}),
    ]  # fmt: skip
    made = {}
    for name, image, options in wanted:
        buffer = io.BytesIO()
        image.save(buffer, name.split(".")[-1], **options)
        made[name] = buffer.getvalue()
    return made


def _golden() -> ModuleType:
    path = Path(__file__).parents[1] / "tests" / "images" / "golden" / "golden_dicom.py"
    spec = importlib.util.spec_from_file_location("golden_dicom", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["golden_dicom"] = module
    spec.loader.exec_module(module)
    return module


if __name__ == "__main__":
    sys.exit(main())
