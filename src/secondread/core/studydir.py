"""The study directory: the only place that knows the names of files on disk.

Every step writes under the folder of its own name; a unit of work (a trial, a GAN, an export) is finished when its
`done.json`, written last, holds the key of its settings and inputs.
"""

from __future__ import annotations

import fnmatch
import json
import os
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from secondread.core.errors import BadData
from secondread.core.files import read_json, sha256_of_json, write_json
from secondread.core.fingerprints import fingerprint, record_of
from secondread.core.progress import say

State = Literal["missing", "stale", "failed", "done"]


@dataclass(frozen=True)
class StudyDir:
    """Where a study lives (`root`), where its data lie (`data`), and which trials are wanted (`only`, a glob).

    One is made per command; `seen` keeps what it found of the data's files, so that they are listed once.
    """

    root: Path
    data: Path | None = None
    only: str | None = None
    seen: dict[str, str | None] = field(default_factory=dict, compare=False, repr=False)

    def lock(self, work: str) -> Path:
        """The file that one process at a time has locked while it is at this work (`core.alone`)."""
        return self.root / ".locks" / work.replace("/", "--")

    # gather, prepare
    @property
    def study_file(self) -> Path:
        return self.root / "study.yaml"

    @property
    def provenance(self) -> Path:
        return self.root / "provenance.json"

    @property
    def test_reads(self) -> Path:
        """One line for every time a step reads rows of the test split."""
        return self.root / "test_reads.jsonl"

    @property
    def rows(self) -> Path:
        return self.root / "gather" / "rows.parquet"

    @property
    def dataset(self) -> Path:
        return self.root / "gather" / "dataset.json"

    def external_rows(self, name: str) -> Path:
        return self.root / "gather" / "external" / f"{_safe(name)}.parquet"

    @property
    def prepare(self) -> Path:
        return self.root / "prepare"

    @property
    def clean_rows(self) -> Path:
        return self.prepare / "rows.parquet"

    @property
    def dropped(self) -> Path:
        return self.prepare / "dropped.parquet"

    @property
    def audit(self) -> Path:
        return self.prepare / "audit.json"

    @property
    def audit_page(self) -> Path:
        return self.prepare / "audit.html"

    @property
    def splits(self) -> Path:
        return self.prepare / "splits.parquet"

    @property
    def split_proof(self) -> Path:
        return self.prepare / "split_proof.json"

    @property
    def pixels(self) -> Path:
        """How pixels are made: channels, intensity mapping, and the cache of each size and fit."""
        return self.prepare / "pixels.json"

    @property
    def cache(self) -> Path:
        return self.root / "cache"

    # synthesize, balance
    @property
    def synthesize(self) -> Path:
        return self.root / "synthesize"

    @property
    def synthetic_rows(self) -> Path:
        """The rows of all synthetic images, in the columns of the clean rows plus their origin."""
        return self.synthesize / "rows.parquet"

    @property
    def synthetic_quality(self) -> Path:
        return self.synthesize / "quality.csv"

    def gan(self, gan: str, target: str, repeat: int, fold: int, seed: int) -> Path:
        return self.synthesize / _safe(gan) / _safe(target) / f"r{repeat}f{fold}s{seed}"

    def extractor(self, name: str, repeat: int, fold: int) -> Path:
        return self.synthesize / "extractors" / _safe(name) / f"r{repeat}f{fold}"

    def plan(self, arm: str, repeat: int, fold: int) -> Path:
        return self.root / "balance" / _safe(arm) / f"r{repeat}f{fold}.parquet"

    # train, predict
    def trial(self, slug: str) -> Path:
        return self.root / "train" / slug

    def predictions(self, slug: str) -> Path:
        return self.root / "predict" / f"{slug}.parquet"

    def external_predictions(self, name: str, slug: str) -> Path:
        return self.root / "predict" / "external" / _safe(name) / f"{slug}.parquet"

    # evaluate, explain, export
    @property
    def evaluate(self) -> Path:
        return self.root / "evaluate"

    @property
    def scores(self) -> Path:
        return self.evaluate / "scores.csv"

    @property
    def comparisons(self) -> Path:
        return self.evaluate / "comparisons.csv"

    @property
    def summary(self) -> Path:
        """What the report says in words, as JSON; `picked` names the trial chosen on validation."""
        return self.evaluate / "summary.json"

    @property
    def report(self) -> Path:
        return self.evaluate / "report.html"

    @property
    def proof(self) -> Path:
        """What `prove` finds: report.html, figures/, scores.csv, claims.csv, readings.csv, proof.json."""
        return self.root / "proof"

    @property
    def figures(self) -> Path:
        return self.evaluate / "figures"

    def operating(self, arm: str, model: str) -> Path:
        return self.evaluate / _safe(arm) / _safe(model) / "operating.json"

    def explain(self, arm: str, model: str) -> Path:
        return self.root / "explain" / _safe(arm) / _safe(model)

    def export(self, arm: str, model: str) -> Path:
        return self.root / "export" / _safe(arm) / _safe(model)

    def wants(self, slug: str) -> bool:
        """Whether `--only` leaves this trial (arm/model/r0f0s0) in; a glob of fewer parts matches what begins so."""
        if self.only is None:
            return True
        depth = self.only.count("/") + 1
        return fnmatch.fnmatch("/".join(slug.split("/")[:depth]), self.only)


def slug(*names: str) -> str:
    """Names joined to a relative path; a slash inside a name becomes two hyphens."""
    return "/".join(_safe(name) for name in names)


def _safe(name: str) -> str:
    return name.replace("/", "--").replace("\\", "--").replace("\0", "")


@dataclass(frozen=True)
class Unit:
    """One piece of work that is either finished or not.

    `folder` holds the unit's files and its `done.json`; a unit that is one file passes `done` itself. `settings` is all
    that decides the result (not devices or executor); `inputs` are the files it reads (another unit's done.json counts
    by its key and outputs, not by its time).
    """

    step: str
    name: str
    folder: Path
    settings: Any
    inputs: Sequence[Path] = field(default=())
    done: Path | None = None

    @property
    def done_file(self) -> Path:
        return self.done or self.folder / "done.json"

    @property
    def failed_file(self) -> Path:
        return self.done_file.with_name(self.done_file.name.replace("done.json", "failed.json"))

    def key(self) -> str:
        """Digest of settings and inputs; raises `BadData` when an input cannot be read."""
        return sha256_of_json({"settings": self.settings, "inputs": [fingerprint(path) for path in self.inputs]})

    def state(self) -> State:
        try:
            if not self.done_file.exists() or self.lost() or any(not path.exists() for path in self.inputs):
                return "failed" if self.failed_file.exists() else "missing"
            return "done" if record_of(self.done_file)["key"] == self.key() else "stale"
        except BadData:  # a damaged record tells nothing, and of a damaged input nothing can be done
            return "missing"

    def lost(self) -> str:
        """The first of the files the unit left that is gone or of another size (which early studies did not keep)."""
        told = record_of(self.done_file)
        left: dict[str, int | None] = told.get("sizes") or dict.fromkeys(told.get("outputs", {}))
        for name, size in left.items():
            path = self.done_file.parent / name
            if not path.is_file() or (size is not None and path.stat().st_size != size):
                return name
        return ""

    def reason(self) -> str:
        """Why the last try failed; empty where none did."""
        return str(read_json(self.failed_file).get("error", "")) if self.failed_file.exists() else ""

    @contextmanager
    def work(self, outputs: Sequence[Path] = (), beside: Sequence[Path] = (), **facts: Any) -> Iterator[None]:
        """Run the unit's work; on success `done.json` is written last, on an error `failed.json` says why.

        `outputs` are what others build on; the files `beside` them, as far as there are any, only have to stay.
        """
        self._tell_lost()
        self.done_file.unlink(missing_ok=True)  # from here on, what lies in the folder is not to be trusted
        self.failed_file.unlink(missing_ok=True)
        key, started = self.key(), time.time()
        try:
            yield
        except Exception as error:
            with suppress(BadData):  # a full disk must not hide the error that filled it
                write_json(self.failed_file, {"error": str(error)})
            raise
        made = {path.name: fingerprint(path) for path in outputs}
        seconds = round(time.time() - started, 3)
        told = {"key": key, "outputs": made, "sizes": self._sizes((*outputs, *beside)), "seconds": seconds}
        write_json(self.done_file, {**told, "finished": _now(), **facts})

    def _sizes(self, paths: Iterable[Path]) -> dict[str, int]:
        room = self.done_file.parent
        return {os.path.relpath(path, room): path.stat().st_size for path in paths if path.exists()}

    def _tell_lost(self) -> None:
        with suppress(BadData):
            if self.done_file.exists() and (name := self.lost()):
                say(f"{self.step} {self.name}: {name} is gone or was changed; made again")


def needed(path: Path, step: str) -> Path:
    """`path`, or `BadData` naming the step that makes it."""
    if not path.exists():
        raise BadData(f"{path} is not there: run `secondread {step}` (or `secondread run`) first")
    return path


def log_test_read(where: StudyDir, step: str, what: str) -> None:
    """Append to the record of every time test rows were read."""
    where.root.mkdir(parents=True, exist_ok=True)
    with open(where.test_reads, "a", encoding="utf8") as log:
        log.write(json.dumps({"when": _now(), "step": step, "what": what}) + "\n")


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
