"""Writes a phantom: images in the tree of a public data set, truth beside it, on all cores, complete or not at all."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from secondread.core.errors import BadData, WrongRequest
from secondread.core.files import write_json
from secondread.core.processors import cores
from secondread.core.progress import progress
from secondread.images.phantom.defects import Entry, entries_of
from secondread.images.phantom.encoding import file_of, mask_bytes
from secondread.images.phantom.spec import FORMATS, PhantomSpec
from secondread.images.phantom.trees import TREES, npz_name

MANIFEST_VERSION = 1
WORTH_A_PROCESS = 150  # images per further process: below that, starting one costs more than it saves
ANATOMY = {"lungs", "heart", "brain"}


def write_phantom(spec: PhantomSpec, out: Path, format: str, workers: int | None) -> dict[str, Any]:
    """See `secondread.images.phantom.write_phantom`."""
    _check(spec, format)
    entries = entries_of(spec, format)
    files = TREES[format].places(spec, entries)
    with _both_folders(out) as (root, truth):
        found: dict[int, list[str]] = {}
        with progress("phantom", len(entries)) as bar:
            for index, names in _made(spec, format, entries, files, root, truth, workers):
                found[index] = names
                bar.advance()
        TREES[format].tables(spec, entries, files, root)
        manifest = _manifest(spec, format, entries, files, found)
        write_json(truth / "phantom.json", manifest)
    return manifest


def _check(spec: PhantomSpec, format: str) -> None:
    if format not in FORMATS:
        raise WrongRequest(f"phantom: no format {format!r}; there are {', '.join(FORMATS)}")
    if format not in spec.task.formats:
        raise WrongRequest(
            f"phantom: {spec.preset} does not fit the format {format}; it fits {', '.join(spec.task.formats)}"
        )


@contextmanager
def _both_folders(out: Path) -> Iterator[tuple[Path, Path]]:
    """Two folders in the making that take the names of `out` and `<out>_truth` at the end."""
    out = out.absolute()
    beside = out.with_name(f"{out.name}_truth")
    for folder in (out, beside):
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise WrongRequest(f"phantom: {folder} exists and is not an empty folder; name another or remove it")
    parts = [folder.with_name(f".{folder.name}.{os.getpid()}.part") for folder in (out, beside)]
    for part in parts:
        _clear_abandoned(part)
    try:
        for part in parts:
            part.mkdir(parents=True)
        yield parts[0], parts[1]
        for part, folder in reversed(list(zip(parts, (out, beside), strict=True))):
            if folder.exists():
                folder.rmdir()
            part.rename(folder)
    except OSError as error:
        raise BadData(f"phantom: cannot write {out}: {error.strerror or error}") from error
    finally:
        for part in parts:
            shutil.rmtree(part, ignore_errors=True)


def _clear_abandoned(part: Path) -> None:
    """Remove what killed runs left of the same folder: theirs are named after processes that are no more."""
    name = part.name.split(f".{os.getpid()}.part")[0]
    for left in part.parent.glob(f"{name}.*.part"):
        owner = left.name.removeprefix(f"{name}.").removesuffix(".part")
        if owner.isdigit() and not Path(f"/proc/{owner}").exists() and Path("/proc/self").exists():
            shutil.rmtree(left, ignore_errors=True)


def _made(
    spec: PhantomSpec,
    format: str,
    entries: Sequence[Entry],
    files: Sequence[str],
    root: Path,
    truth: Path,
    workers: int | None,
) -> Iterator[tuple[int, list[str]]]:
    """Write every image; yields its index and the names of its masks as soon as it is there."""
    most = cores()
    share = max(1, len(entries) // WORTH_A_PROCESS)
    processes = min(most, share) if workers is None else min(workers, len(entries))
    if processes > 1:
        yield from _in_processes(spec, format, root, truth, range(len(entries)), processes)
        return
    for entry in entries:
        yield entry.index, make(spec, format, entries, files, entry.index, root, truth)


def make(
    spec: PhantomSpec, format: str, entries: Sequence[Entry], files: Sequence[str], index: int, root: Path, truth: Path
) -> list[str]:
    """Write one image and its masks; the names of the masks. Files are plain: their folder is renamed when complete."""
    entry = entries[index]
    source = entries[entry.source] if entry.source is not None else entry
    content, masks = file_of(spec, entry, source, TREES[format].encoding)
    _write(root / files[index], content)
    if format == "radiography":
        _write(root / files[index].replace("/images/", "/masks/"), mask_bytes(masks["lungs"]))
    shown = sorted(set(masks) - ANATOMY)
    for name in shown:
        _write(truth / mask_file(files[index], name), mask_bytes(masks[name]))
    return shown


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def mask_file(file: str, name: str) -> str:
    """Where the mask of a finding lies under the truth folder."""
    return f"phantom_masks/{Path(file).with_suffix('').as_posix().lstrip('.')}/{name}.png"


def _in_processes(
    spec: PhantomSpec, format: str, root: Path, truth: Path, indices: Sequence[int], processes: int
) -> Iterator[tuple[int, list[str]]]:
    """The same in several interpreters, told what to do on their standard input.

    Neither forked (this process may hold threads) nor spawned by multiprocessing (which would run the caller's script
    again where it is not guarded).
    """
    lines: SimpleQueue[tuple[int, str]] = SimpleQueue()
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, "-c", "from secondread.images.phantom.writing import work; work()"]
    running = []
    try:
        for k in range(processes):
            job = {"spec": spec.as_json(), "format": format, "root": str(root), "truth": str(truth)}
            running.append(_started(command, environment, {**job, "indices": list(indices[k::processes])}, k, lines))
        yield from _reported(lines, processes)
        for process in running:
            if process.wait() != 0:
                raise BadData(f"phantom: a drawing process ended with exit code {process.returncode}; try --workers 1")
    finally:
        for process in running:
            if process.poll() is None:
                process.kill()
                process.wait()


def _started(
    command: list[str],
    environment: dict[str, str],
    job: dict[str, Any],
    number: int,
    lines: SimpleQueue[tuple[int, str]],
) -> subprocess.Popen[str]:
    """One drawing process, with a thread that hands on its lines, and an empty one at its end."""
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment, start_new_session=True
    )
    assert process.stdin is not None
    with process.stdin as told:
        json.dump(job, told)
    threading.Thread(target=_hand_on, args=(process, number, lines), daemon=True).start()
    return process


def _hand_on(process: subprocess.Popen[str], number: int, lines: SimpleQueue[tuple[int, str]]) -> None:
    assert process.stdout is not None
    with process.stdout as told:
        for line in told:
            lines.put((number, line))
    lines.put((number, ""))


def _reported(lines: SimpleQueue[tuple[int, str]], processes: int) -> Iterator[tuple[int, list[str]]]:
    while processes:
        _, line = lines.get()
        if line:
            index, names = json.loads(line)
            if index < 0:
                raise OSError(names[0])
            yield index, names
        else:
            processes -= 1


def work() -> None:
    """What a drawing process does: its job comes as JSON on the standard input, a line goes out per image."""
    job = json.load(sys.stdin)
    spec = PhantomSpec(**job["spec"])
    entries = entries_of(spec, job["format"])
    files = TREES[job["format"]].places(spec, entries)
    try:
        for index in job["indices"]:
            names = make(spec, job["format"], entries, files, index, Path(job["root"]), Path(job["truth"]))
            print(json.dumps([index, names]), flush=True)
    except BrokenPipeError:  # the one who asked is gone
        os._exit(1)
    except OSError as error:
        print(json.dumps([-1, [error.strerror or str(error)]]), flush=True)


def _manifest(
    spec: PhantomSpec, format: str, entries: Sequence[Entry], files: Sequence[str], found: dict[int, list[str]]
) -> dict[str, Any]:
    """What is in the tree and what is true of it."""
    places = _array_places(spec, entries) if format == "npz" else [{"file": file} for file in files]
    rows = []
    for entry, place in zip(entries, places, strict=True):
        case = entry.case
        rows.append(
            {
                **place,
                "patient": f"patient{entry.patient + 1:05d}",
                "visit": entry.visit + 1,
                "site": case.site,
                "split": entry.split if TREES[format].splits else None,
                "labels": entry.labels,
                "truth": case.truth,
                "severity": {name: round(value, 4) for name, value in case.findings.items()},
                "defect": entry.defect,
                "source": None if entry.source is None else places[entry.source],
                "masks": {name: mask_file(files[entry.index], name) for name in found[entry.index]},
            }
        )
    return {"version": MANIFEST_VERSION, "format": format, "spec": spec.as_json(), "rows": rows}


def _array_places(spec: PhantomSpec, entries: Sequence[Entry]) -> list[dict[str, Any]]:
    """For npz: the archive, the split's array and the position in it."""
    taken = dict.fromkeys(("train", "val", "test"), 0)
    places = []
    for entry in entries:
        places.append({"file": npz_name(spec), "array": f"{entry.split}_images", "index": taken[entry.split]})
        taken[entry.split] += 1
    return places
