"""Rows of bench: the same engines at every batch, agreement measured, nothing timed that is not there."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from export.finished_study import Finished
from secondread.cli.bundles import bench as command
from secondread.core.errors import WrongRequest
from secondread.export.bench import COLUMNS, bench, calibrated, write_measurements
from secondread.export.coldstart import cold_start_of_bundle
from secondread.export.engines import take_turns
from secondread.learning.devices import multiplies_bf16
from secondread.models.bundle import Bundle


def test_a_bundle_in_its_study_is_compared_with_its_checkpoint(exported: Finished) -> None:
    folder = exported.where.export("plain", "plain_cnn")
    table = bench([folder], repeats=3, batches=(1, 4), threads=1, cold=False)
    assert list(table.columns) == COLUMNS
    engines = list(dict.fromkeys(table["engine"]))
    assert engines[:2] == ["native eager", "native channels_last"]
    assert ("native bfloat16" in engines) is multiplies_bf16()
    assert engines[-2:] == ["onnxruntime", "openvino"]
    assert set(table["batch"]) == {1, 4}
    fp32 = table[table["precision"] == "fp32"]
    assert (fp32["flips"] == 0).all()
    assert (fp32["max_abs_dlogit"] < 1e-2).all()
    assert (table.loc[table["engine"] == "native eager", "ratio_to_native"] == 1).all()
    assert (table["p50_ms"] <= table["p95_ms"]).all()
    np.testing.assert_allclose(table["images_per_s"], table["batch"] * 1000 / table["p50_ms"])
    left = json.loads((folder / "bench.json").read_text())
    assert len(left) == len(table)
    Bundle.open(folder, threads=1)  # what bench left there does not disturb it
    assert table.attrs["left"] == [folder / "bench.json"]
    (folder / "bench.json").unlink()


def test_the_command_names_what_it_left(
    exported: Finished, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    asked: list[int | None] = []

    def shorter(folders: list[Path], threads: int | None, **other: object) -> pd.DataFrame:
        asked.append(threads)
        return bench(folders, repeats=3, batches=(1,), threads=threads, cold=False)

    monkeypatch.setattr("secondread.export.bench.bench", shorter)
    folder = exported.where.export("plain", "plain_cnn")
    command([folder], json_file=tmp_path / "told.json", threads=1)
    assert capsys.readouterr().out.splitlines()[-2:] == [str(folder / "bench.json"), str(tmp_path / "told.json")]
    assert asked == [1]
    (folder / "bench.json").unlink()


def test_a_bundle_that_was_moved_is_timed_alone_or_with_its_study(
    exported: Finished, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    moved = Path(shutil.copytree(exported.where.export("plain", "plain_cnn"), tmp_path / "a" / "b"))
    monkeypatch.chdir(moved)
    alone = bench([Path(".")], repeats=3, batches=(1,), threads=1, cold=False)
    assert list(alone["engine"]) == ["onnxruntime", "openvino"]
    assert alone["ratio_to_native"].isna().all()
    together = bench([moved], study=exported.where.root, repeats=3, batches=(1,), threads=1, cold=False)
    assert list(together["engine"][:2]) == ["native eager", "native channels_last"]
    write_measurements(tmp_path / "told.json", alone)
    row, _ = json.loads((tmp_path / "told.json").read_text(), parse_constant=pytest.fail)
    assert row["ratio_to_native"] is None
    with pytest.raises(WrongRequest, match="no study"):
        bench([moved], study=tmp_path, cold=False)


def test_a_zip_in_its_study_is_measured_and_left_as_it_is(exported: Finished) -> None:
    folder = exported.where.export("plain", "plain_cnn")
    table = bench([folder.with_name("plain_cnn.zip")], repeats=3, batches=(1,), threads=1, cold=False)
    assert set(table["engine"]) >= {"native eager", "onnxruntime"}
    assert not (folder / "bench.json").exists()


def test_bench_calibrates_as_the_graph_does(exported: Finished) -> None:
    bundle = Bundle.open(exported.where.export("plain", "plain_cnn"), threads=1)
    images = np.random.default_rng(0).integers(0, 256, (8, 1, 32, 32)).astype(np.uint8)
    outputs = bundle.run(images)
    np.testing.assert_allclose(calibrated(bundle, outputs.logits), outputs.probabilities, atol=1e-6)


def test_a_fresh_process_reads_and_tells_its_own_memory(exported: Finished) -> None:
    ballast = np.ones(200_000_000, np.uint8)  # a parent's memory is not the child's
    start = cold_start_of_bundle(exported.where.export("plain", "plain_cnn"), 1)
    assert start.seconds > 0
    assert 20 < start.peak_mb < ballast.nbytes / 2**20


def test_calls_take_turns() -> None:
    order: list[str] = []
    seconds = take_turns([lambda: order.append("a"), lambda: order.append("b")], 3)
    assert "".join(order) == "baabbaabba"  # backwards every other round, so that neither always follows the other
    assert [len(own) for own in seconds] == [3, 3]
    assert len(take_turns([lambda: None], 50, most_seconds=0.0)[0]) == 3
