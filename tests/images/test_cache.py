from __future__ import annotations

import errno
import os
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from secondread.core.errors import BadData
from secondread.images.cache import CacheItem, PixelCache, build_cache, cache_key
from secondread.images.decode import PixelSpec, read_pixels
from secondread.images.decode_npz import entries, image_arrays


def picture(seed: int) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (30, 36), dtype=np.uint8)


def files(folder: Path, count: int) -> list[CacheItem]:
    items = []
    for number in range(count):
        path = folder / f"{number}.png"
        Image.fromarray(picture(number)).save(path)
        items.append(CacheItem(path.name, path, -1, f"content{number}"))
    return items


def test_the_cache_holds_what_reading_gives(tmp_path: Path) -> None:
    items = files(tmp_path, 5)
    for spec in (PixelSpec(16), PixelSpec(24, "pad", channels=3, crop_border=0.1)):
        cache = build_cache(items, spec, tmp_path / "cache")
        for item in items:
            expected = read_pixels(item.path, spec)
            np.testing.assert_array_equal(cache.pixels[cache.position[item.row_id]], expected)
        np.testing.assert_array_equal(cache.take(["3.png"])[0], read_pixels(items[3].path, spec))
    with pytest.raises(BadData, match=r"nothing\.png"):
        cache.take(["nothing.png"])


def test_the_key_names_every_choice(tmp_path: Path) -> None:
    items = files(tmp_path, 2)
    specs = [PixelSpec(16), PixelSpec(17), PixelSpec(16, "pad"), PixelSpec(16, channels=3),
             PixelSpec(16, intensity="window"), PixelSpec(16, crop_border=0.1)]  # fmt: skip
    keys = [cache_key(items, spec) for spec in specs]
    keys += [cache_key(items[::-1], specs[0]), cache_key(items[:1], specs[0])]
    assert len(set(keys)) == len(keys)


def test_pixels_that_were_removed_are_made_again(tmp_path: Path) -> None:
    items = files(tmp_path, 3)
    first = build_cache(items, PixelSpec(16), tmp_path / "cache")
    pixels = np.array(first.pixels)
    first.path.unlink()
    np.testing.assert_array_equal(build_cache(items, PixelSpec(16), tmp_path / "cache").pixels, pixels)


def test_a_finished_cache_is_not_built_again(tmp_path: Path) -> None:
    items = files(tmp_path, 3)
    first = build_cache(items, PixelSpec(16), tmp_path / "cache")
    for item in items:
        item.path.unlink()
    again = build_cache(items, PixelSpec(16), tmp_path / "cache")
    assert again.path == first.path
    assert not list((tmp_path / "cache").glob("*.part"))


def test_a_killed_build_goes_on(tmp_path: Path) -> None:
    items = files(tmp_path, 130)
    spec = PixelSpec(16)
    bad = items[100].path.read_bytes()
    items[100].path.write_bytes(bad[:40])
    with pytest.raises(BadData, match=r"100\.png"):
        build_cache(items, spec, tmp_path / "cache", workers=1)
    key = cache_key(items, spec)
    assert (tmp_path / "cache" / f"{key}.chunks").read_text().split() == ["0"]
    with pytest.raises(BadData, match="not finished"):
        PixelCache.open(tmp_path / "cache" / f"{key}.npy")
    items[100].path.write_bytes(bad)
    items[0].path.unlink()  # finished before: not read again
    cache = build_cache(items, spec, tmp_path / "cache", workers=1)
    np.testing.assert_array_equal(cache.pixels[100], read_pixels(items[100].path, spec))


def test_processes_give_the_same(tmp_path: Path) -> None:
    items = files(tmp_path, 140)
    one = build_cache(items, PixelSpec(16), tmp_path / "one", workers=1)
    two = build_cache(items, PixelSpec(16), tmp_path / "two", workers=2)
    assert one.path.read_bytes() == two.path.read_bytes()


def test_npz_entries_stream_into_the_cache(tmp_path: Path) -> None:
    path = tmp_path / "set.npz"
    parts = {name: np.stack([picture(k + shift) for k in range(6)]) for name, shift in
             (("test_images", 12), ("train_images", 0), ("val_images", 6))}  # fmt: skip
    np.savez_compressed(path, **parts, train_labels=np.zeros((6, 1)))
    assert [array.name for array in image_arrays(path)] == ["train_images", "val_images", "test_images"]
    assert [index for index, _ in entries(path)] == list(range(18))
    items = [CacheItem(f"set.npz#{k}", path, k, str(k)) for k in (1, 7, 17)]
    cache = build_cache(items, PixelSpec(30, "crop"), tmp_path / "cache")
    for place, k in enumerate((1, 7, 17)):
        np.testing.assert_array_equal(cache.pixels[place], picture(k)[:, 3:33])
    upper = path.with_name("SET.NPZ")
    upper.write_bytes(path.read_bytes())
    again = build_cache([CacheItem("SET.NPZ#7", upper, 7, "7")], PixelSpec(30, "crop"), tmp_path / "cache")
    np.testing.assert_array_equal(again.pixels[0], picture(7)[:, 3:33])
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(BadData):
        list(entries(path))


def test_the_disks_space_is_taken_before_the_first_image_is_decoded(tmp_path: Path) -> None:
    """A map is written to without a word of what the disk has left: found full there, it ends the process."""
    items = files(tmp_path, 3)
    items[0].path.write_bytes(b"damaged")
    with pytest.raises(BadData, match=r"0\.png"):
        build_cache(items, PixelSpec(512), tmp_path / "cache")
    (part,) = (tmp_path / "cache").glob("*.part")
    assert part.stat().st_blocks * 512 >= part.stat().st_size > 3 * 512**2


def test_a_disk_that_is_too_small_is_told_and_left_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int, start: int, length: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    items = files(tmp_path, 3)
    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(BadData, match="No space left on device"):
        build_cache(items, PixelSpec(16), tmp_path / "cache")
    assert not list((tmp_path / "cache").glob("*.part"))
    monkeypatch.delattr(os, "posix_fallocate")
    assert len(build_cache(items, PixelSpec(16), tmp_path / "cache").pixels) == 3
