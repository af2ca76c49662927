"""Which generator draws the samples, when a GAN ends early, and that a killed GAN goes on to the same choice."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from secondread.core.errors import BadData, WrongRequest
from secondread.core.files import read_json, write_json
from secondread.core.spec import Engine, PartRef, Synthesize
from secondread.core.studyfile import check_parts
from secondread.core.tables import read_dataset, read_table, write_dataset
from secondread.learning.devices import set_threads
from secondread.learning.gan_loop import GanTraining
from secondread.metrics import distances
from secondread.prepare.pixels import sizes_of
from secondread.synthesize import collapse
from secondread.synthesize import run as synthesize
from secondread.synthesize import training as module
from secondread.synthesize.extractors import Extractor, TaskNetwork
from secondread.synthesize.run import units
from secondread.synthesize.targets import Target, fold_rows, samples_needed, targets, training_rows
from secondread.synthesize.training import Material, material_of, train_gan
from small_study import SIDE, small_directory, small_study

IMAGES = np.random.default_rng(0).integers(0, 256, (20, 32, 32), dtype=np.uint8)
GAN = PartRef.model_validate({"name": "dcgan", "width": 8, "on_collapse": "warn"})
BEST = 4


def judge() -> Extractor:
    """Mean brightness of each quarter: enough to tell generators apart."""
    return Extractor("quarters", "0", 4, lambda planes: torch.nn.functional.avg_pool2d(planes.float(), 16).flatten(1))


def trained(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    key: str = "key",
    alike_until: int = 0,
    blotchy_until: int = 0,
    gan: PartRef = GAN,
    **options: object,
) -> GanTraining:
    """Eight updates, a sheet at every second; the measured KID falls to update 4 and rises from there."""
    measured = module._Record._distances

    def told(record: module._Record, training: GanTraining) -> dict[str, float]:
        varied = 1.0 if training.step > alike_until else 0.1
        sharp = 0.4 if training.step > blotchy_until else 1.3
        made_up = {"kid": float(abs(training.step - BEST)), "diversity": varied, "spectrum": sharp}
        return measured(record, training) | made_up

    monkeypatch.setattr(module._Record, "_distances", told)
    written = {"gans": ["dcgan"], "size": 32, "steps": 8, "batch": 8, "sheet_every": 2, **options}
    target, material = Target(gan, "rare", 0, 0, 3, False), Material(IMAGES, None, ["rare"])
    return train_gan(target, Synthesize.model_validate(written), material, judge(), folder, key, torch.device("cpu"))


def weights(folder: Path) -> np.ndarray:
    return np.concatenate([value.numpy().ravel() for value in load_file(folder / "generator.safetensors").values()])


def test_the_generator_with_the_least_kid_draws_the_samples(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    best = trained(tmp_path / "best", monkeypatch)
    last = trained(tmp_path / "last", monkeypatch, keep="last")
    short = trained(tmp_path / "short", monkeypatch, keep="last", steps=BEST)
    assert read_json(tmp_path / "best" / "kept.json") == {"keep": "best", "step": BEST, "trained": 8}
    assert best.step == last.step == 8
    assert short.step == BEST
    np.testing.assert_array_equal(weights(tmp_path / "best"), weights(tmp_path / "short"))
    assert (weights(tmp_path / "best") != weights(tmp_path / "last")).any()


def test_a_generator_whose_images_are_all_alike_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trained(tmp_path / "early", monkeypatch, alike_until=BEST)
    assert read_json(tmp_path / "early" / "kept.json")["step"] == BEST + 2
    trained(tmp_path / "never", monkeypatch, alike_until=8, patience=1)
    assert read_json(tmp_path / "never" / "kept.json") == {"keep": "best", "step": 8, "trained": 8}


def test_a_generator_of_blotches_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trained(tmp_path / "whole", monkeypatch, blotchy_until=BEST)
    assert read_json(tmp_path / "whole" / "kept.json")["step"] == BEST + 2
    trained(tmp_path / "short", monkeypatch, blotchy_until=BEST, keep="last", steps=BEST + 2)
    np.testing.assert_array_equal(weights(tmp_path / "whole"), weights(tmp_path / "short"))
    trained(tmp_path / "all", monkeypatch, blotchy_until=8)
    assert read_json(tmp_path / "all" / "kept.json")["step"] == BEST


def test_other_settings_begin_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trained(tmp_path, monkeypatch)
    assert trained(tmp_path, monkeypatch, steps=4).step == 8  # of the same key: nothing is left to do
    assert trained(tmp_path, monkeypatch, key="another", steps=4).step == 4
    assert sorted(sheet.name for sheet in (tmp_path / "sheets").glob("*.png")) == [
        "step-0000002.png",
        "step-0000004.png",
    ]
    assert list(pd.read_csv(tmp_path / "curve.csv")["step"]) == [2, 4]


def test_patience_ends_a_gan_that_gets_no_better(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ended = trained(tmp_path, monkeypatch, patience=1)
    assert ended.step == BEST + 2
    assert list(pd.read_csv(tmp_path / "curve.csv")["step"]) == [2, 4, 6]
    assert trained(tmp_path, monkeypatch, patience=1).step == BEST + 2  # resumed: it does not go on


def test_a_killed_gan_goes_on_to_the_same_choice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trained(tmp_path / "whole", monkeypatch)
    sheet = module.save_sheet

    def killed(images: np.ndarray, path: Path) -> None:
        if path.stem.endswith("6"):
            raise KeyboardInterrupt
        sheet(images, path)

    with monkeypatch.context() as patched:
        patched.setattr(module, "save_sheet", killed)
        with pytest.raises(KeyboardInterrupt):
            trained(tmp_path / "killed", patched)
    trained(tmp_path / "killed", monkeypatch)
    np.testing.assert_array_equal(weights(tmp_path / "killed"), weights(tmp_path / "whole"))
    assert told(tmp_path / "killed") == told(tmp_path / "whole")


def test_who_goes_back_to_earlier_settings_keeps_no_generator_of_those_between(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained(tmp_path / "whole", monkeypatch, keep="best")
    for key, dies_at in (("key", 6), ("another", 2)):  # the second dies with a generator kept and no checkpoint yet
        save = module.save_checkpoint

        def killed(path: Path, state: dict[str, Any], at: int = dies_at, save: Any = save) -> None:
            if state["step"] == at:
                raise KeyboardInterrupt
            save(path, state)

        with monkeypatch.context() as patched:
            patched.setattr(module, "save_checkpoint", killed)
            with pytest.raises(KeyboardInterrupt):
                trained(tmp_path / "changed", patched, key=key)
    trained(tmp_path / "changed", monkeypatch)
    assert told(tmp_path / "changed")["curve.csv"] == told(tmp_path / "whole")["curve.csv"]
    np.testing.assert_array_equal(weights(tmp_path / "changed"), weights(tmp_path / "whole"))


def told(folder: Path) -> dict[str, Any]:
    """Everything that a GAN tells of its course, to the last digit; how fast it went is another matter."""
    tables = {name: pd.read_csv(folder / name, dtype=str) for name in ("losses.csv", "curve.csv")}
    events = EventAccumulator(str(folder / "tensorboard"), size_guidance={"scalars": 0}).Reload()
    scalars = {tag: [(one.step, one.value) for one in events.Scalars(tag)] for tag in events.Tags()["scalars"]}
    kept = {name: table.drop(columns="images_per_s", errors="ignore") for name, table in tables.items()}
    return {name: table.to_dict("records") for name, table in kept.items()} | scalars


def test_a_gan_killed_before_its_first_losses_were_written_starts_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "losses.csv").touch()
    assert trained(tmp_path, monkeypatch).step == 8
    assert list(pd.read_csv(tmp_path / "losses.csv")["step"]) == list(range(1, 9))


def test_a_line_of_losses_that_a_kill_cut_short_is_dropped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trained(tmp_path, monkeypatch, steps=4)
    with open(tmp_path / "losses.csv", "a", encoding="utf8") as losses:
        losses.write("3")  # of step 30
    trained(tmp_path, monkeypatch)
    assert list(pd.read_csv(tmp_path / "losses.csv")["step"]) == list(range(1, 9))


def test_a_collapsed_gan_that_is_run_again_has_still_collapsed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stops = PartRef.model_validate({"name": "dcgan", "width": 8, "on_collapse": "stop"})
    monkeypatch.setattr(collapse, "diversity", lambda images: 0.0)
    for _ in range(2):
        with pytest.raises(BadData, match="collapsed at step 6"):
            trained(tmp_path, monkeypatch, alike_until=8, gan=stops)


def test_a_gan_of_pixels_made_otherwise_is_another_piece_of_work(tmp_path: Path) -> None:
    where = small_directory(tmp_path)
    study = small_study(tmp_path, {}, synthesize={"gans": ["dcgan"], "for": "all"})
    before = [unit.key() for unit in units(study, where)[:-1]]
    write_json(where.pixels, read_json(where.pixels) | {"crop_border": 0.2})
    after = [unit.key() for unit in units(study, where)[:-1]]
    padded = small_study(tmp_path, {"fit": "pad"}, synthesize={"gans": ["dcgan"], "for": "all"})
    after += [unit.key() for unit in units(padded, where)[:-1]]
    assert len(before) == 2
    assert len(set(before + after)) == 6
    assert sizes_of(padded) == [(SIDE, "pad"), (64, "pad")]  # else bars would give the real ones away


def test_an_arm_that_needs_more_images_makes_its_gan_stale(tmp_path: Path) -> None:
    """Written alike: up to the majority, where none is lacking, and as many as there are real ones, 586 of a class."""
    where, keys, counts = small_directory(tmp_path, count=3600), set(), []
    for policy in ("top_up", "synthetic_only"):
        arms = {"gan": {"balance": {"name": policy, "from": "dcgan"}}}
        study = small_study(tmp_path, {}, arms, synthesize={"gans": ["dcgan"], "for": "all"})
        keys.add(units(study, where)[0].key())
        counts.append(samples_needed(study, fold_rows(where, 0, 0), "c1"))
    assert counts[0] < counts[1]
    assert len(keys) == 2


def test_an_arm_cannot_fit_real_images_otherwise_than_generated_ones(tmp_path: Path) -> None:
    arms = {"gan": {"balance": {"name": "top_up", "from": "dcgan"}, "train": {"fit": "crop"}}}
    study = small_study(tmp_path, {}, arms, synthesize={"gans": ["dcgan"]})
    with pytest.raises(WrongRequest, match=r"arms: gan: generated images are drawn with train\.fit: stretch"):
        check_parts(study)


class Shows(torch.nn.Module):
    """A generator that has learnt all: it shows other real images of the class that it is asked for."""

    latent = 1

    def __init__(self, classes: list[np.ndarray]) -> None:
        super().__init__()
        self.classes, self.weight = classes, torch.nn.Parameter(torch.zeros(1))

    def forward(self, noise: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        return torch.from_numpy(self.classes[int(labels[0])][: len(noise)])[:, None].float() / 127.5 - 1


def test_a_conditional_gan_is_compared_with_real_images_class_by_class(tmp_path: Path) -> None:
    """One image in ten is of the bright class: half of each would lie far from the real ones, however good."""
    draws = np.random.default_rng(5)
    dark, bright = draws.integers(0, 100, (400, 32, 32)), draws.integers(150, 250, (400, 32, 32))
    images = np.concatenate([dark[:180], bright[:20]]).astype(np.uint8)
    material = Material(images, np.repeat([0, 1], [180, 20]), ["dark", "bright"])
    wanted = Synthesize.model_validate({"gans": ["dcgan"], "size": 32, "per": "conditional"})
    record = module._Record(Target(GAN, "all", 0, 0, 0), wanted, material, judge(), tmp_path, "key")
    perfect = SimpleNamespace(averaged=Shows([dark[180:].astype(np.uint8), bright[20:].astype(np.uint8)]), step=2)
    perfect.state = dict
    record.at_sheet(perfect)  # type: ignore[arg-type]
    (told,) = pd.read_csv(tmp_path / "curve.csv").to_dict("records")
    assert told["fid"] < 0.05 * distances.fid(judge()(images), judge()(material.images[-40:]))
    assert told["spectrum"] < 0.05
    assert told["diversity"] == pytest.approx(1, abs=0.05)


def test_a_class_that_is_called_all_is_one_class(tmp_path: Path) -> None:
    where = small_directory(tmp_path, count=120)
    renamed = read_table(where.clean_rows).rename(columns={"y_c1": "y_all"})
    renamed.to_parquet(where.clean_rows)
    write_dataset(replace(read_dataset(where.dataset), classes=["c0", "all"]), where.dataset)
    settings = {"gans": ["dcgan"], "for": ["all"], "size": 32}
    (target,) = targets(small_study(tmp_path, {}, synthesize=settings), where)
    learnt = training_rows(target, fold_rows(where, 0, 0))
    assert set(learnt["y_all"]) == {1}
    cache = SimpleNamespace(take=lambda ids: np.zeros((len(ids), 32, 32), np.uint8))
    assert material_of(learnt, cache, target, ["c0", "all"]).labels is None  # type: ignore[arg-type]
    (every,) = targets(small_study(tmp_path, {}, synthesize=settings | {"per": "conditional"}), where)
    assert set(training_rows(every, fold_rows(where, 0, 0))["y_all"]) == {0, 1}


def test_the_judge_learns_with_the_threads_of_the_study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own, seen, learn = torch.get_num_threads(), [], synthesize.train_task_network

    def counted(*given: Any, **options: Any) -> TaskNetwork:
        seen.append(torch.get_num_threads())
        return learn(*given, **options)

    monkeypatch.setattr(synthesize, "train_task_network", counted)
    gan = {"name": "dcgan", "width": 4, "on_collapse": "warn"}
    settings = {"gans": [gan], "for": ["c1"], "size": 32, "steps": 1, "batch": 8, "samples": 8}
    study = small_study(tmp_path, {"engine": {"threads": own + 1}}, synthesize=settings)
    synthesize.run(study, small_directory(tmp_path, count=120))
    set_threads(Engine())
    assert seen == [own + 1]
