"""Decoding large JPEG originals to a model's size: this package against Pillow's full RGB decode, in one run.

    python bench/decoding.py [--images 120] [--size 224] [--folder DIR]

Without --folder it makes its own originals: noise-free radiograph-like pictures of 1-3 million pixels, the JPEG mode of
which (grey or YCbCr) is printed per line. Both sides take turns image by image on one core; then the cache is built on
all cores, and the rate of its build printed against the same Pillow loop in as many processes.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from secondread.core.files import sha256_of_file
from secondread.images.cache import CacheItem, build_cache
from secondread.images.decode import PixelSpec, decode, read_pixels, to_model_input

SHAPES = ((1000, 1200), (1300, 1500), (1500, 1900), (1024, 1024))


def main() -> None:
    told = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    told.add_argument("--images", type=int, default=120)
    told.add_argument("--size", type=int, default=224)
    told.add_argument("--folder", type=Path)
    given = told.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        for mode in ("L", "RGB") if given.folder is None else ("files",):
            folder = given.folder or Path(scratch) / mode
            paths = originals(folder) if given.folder else made(folder, mode, given.images)
            print(json.dumps({"originals": mode, "images": len(paths), **one_core(paths, given.size)}))
            print(
                json.dumps({"originals": mode, "cores": os.cpu_count(), **all_cores(paths, given.size, Path(scratch))})
            )


def originals(folder: Path) -> list[Path]:
    """The JPEG files of a folder that are larger than 300 px on both sides."""
    found = [path for path in sorted(folder.rglob("*")) if path.suffix.lower() in (".jpg", ".jpeg")]
    return [path for path in found if min(Image.open(path).size) > 300]


def made(folder: Path, mode: str, count: int) -> list[Path]:
    folder.mkdir(parents=True)
    paths = []
    for number in range(count):
        path = folder / f"{number:04}.jpg"
        pixels = Image.fromarray(picture(number))
        (pixels if mode == "L" else pixels.convert("RGB")).save(path, quality=92)
        paths.append(path)
    return paths


def picture(seed: int) -> NDArray[np.uint8]:
    """A radiograph-like picture without noise: two dark fields, ribs and fine texture of fixed waves."""
    draw = np.random.default_rng(seed)
    height, width = SHAPES[seed % len(SHAPES)]
    y, x = np.linspace(-1, 1, height)[:, None], np.linspace(-1, 1, width)[None]
    body = 190 - 60 * (x**2 + y**2)
    for side in (-0.42, 0.42):
        body -= 110 / (1 + np.exp(14 * (((x - side) / 0.3) ** 2 + (y / 0.6) ** 2 - 1)))
    body += 14 * np.maximum(0, np.sin(28 * (y + 0.3 * x**2) + draw.uniform(0, 6)))
    across, down = draw.uniform(10, 160, (2, 24))
    waves = np.exp(1j * down[None] * y) @ np.exp(1j * across[:, None] * x)  # a sum of plane waves
    body += 1.5 * waves.real
    return np.clip(body, 0, 255).astype(np.uint8)


def pillow_full(path: Path, size: int) -> NDArray[np.uint8]:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB").resize((size, size), Image.Resampling.BILINEAR))


def ours(path: Path, size: int) -> NDArray[np.uint8]:
    return read_pixels(path, PixelSpec(size))


def one_core(paths: Sequence[Path], size: int) -> dict[str, float]:
    """Images per second of each side, image by image in turn, and how far the reduced decode is from the whole one."""
    spent = {"pillow": 0.0, "ours": 0.0}
    apart = []
    for path in paths:
        path.read_bytes()
        spent["pillow"] += timed(pillow_full, path, size)
        spent["ours"] += timed(ours, path, size)
    for path in paths[:20]:
        whole = to_model_input(decode(path), PixelSpec(size)).astype(int)
        apart.append(np.abs(ours(path, size) - whole).mean())
    rates = {name: round(len(paths) / seconds, 1) for name, seconds in spent.items()}
    return {
        "pillow_images_per_s": rates["pillow"],
        "images_per_s": rates["ours"],
        "ratio": round(spent["pillow"] / spent["ours"], 2),
        "mean_abs_grey_difference": round(float(np.mean(apart)), 3),
    }


def all_cores(paths: Sequence[Path], size: int, scratch: Path) -> dict[str, float]:
    began = time.perf_counter()
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(pillow_full, paths, [size] * len(paths), chunksize=8))
    pillow = time.perf_counter() - began
    items = [CacheItem(str(path), path, -1, sha256_of_file(path)) for path in paths]
    began = time.perf_counter()
    build_cache(items, PixelSpec(size), scratch / "cache")
    built = time.perf_counter() - began
    return {
        "pillow_images_per_s": round(len(paths) / pillow, 1),
        "cache_images_per_s": round(len(paths) / built, 1),
        "ratio": round(pillow / built, 2),
    }


def timed(read: Callable[[Path, int], NDArray[np.uint8]], path: Path, size: int) -> float:
    began = time.perf_counter()
    read(path, size)
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
