"""Step 3: GAN images for rare classes, and their quality.

Reads prepare/ (clean rows, splits, the cache of the GANs' size). Writes synthesize/<gan>/<class>/r0f0s0/ (generator,
losses, sheets, film, samples, closest pairs, card, contents), synthesize/extractors/, synthesize/quality.csv and
synthesize/rows.parquet. A GAN is trained per fold, on that fold's training rows only.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from secondread.core.files import read_json, sha256_of_bytes, write_json, write_with
from secondread.core.leakage import write_contents
from secondread.core.progress import say
from secondread.core.spec import Study, as_yaml
from secondread.core.studydir import StudyDir, Unit
from secondread.core.tables import labels_of, read_table
from secondread.core.trials import folds
from secondread.images.cache import PixelCache, open_for, pixel_choices
from secondread.learning.checkpoints import save_weights
from secondread.learning.devices import Machine, machine
from secondread.synthesize import quality
from secondread.synthesize.extractors import (
    TASK_STEPS,
    Extractor,
    load_task_network,
    named_extractor,
    task_extractor,
    train_task_network,
)
from secondread.synthesize.samples import save_samples, write_samples
from secondread.synthesize.sheets import pairs_montage
from secondread.synthesize.targets import (
    FoldRows,
    Target,
    every_target_can_learn,
    fold_rows,
    samples_needed,
    target_classes,
    targets,
    training_rows,
)
from secondread.synthesize.training import draw_samples, material_of, train_gan, write_record

LEAST_UNSEEN = 8


def units(study: Study, where: StudyDir) -> list[Unit]:
    """One unit per GAN × class × repeat × fold × seed, and one that gathers their rows and quality."""
    found = [_unit(target, study, where) for target in targets(study, where)]
    return [*found, _gathering(found, where)] if found else []


def ready(study: Study, where: StudyDir) -> None:
    """Raises `BadData` for a class that has too few images in one of the folds, `WrongRequest` for what GANs cannot."""
    every_target_can_learn(study, where)


def run(study: Study, where: StudyDir) -> None:
    """Train every GAN that is missing or stale, judge it, and gather all samples into one table."""
    wanted = targets(study, where)
    for repeat, fold in folds(study):
        here = [t for t in wanted if (t.repeat, t.fold) == (repeat, fold)]
        waiting = [t for t in here if _unit(t, study, where).state() != "done"]
        if not waiting:
            continue
        rows = fold_rows(where, repeat, fold)
        cache = open_for(where, study.synthesize.size, study.train.fit)
        place = machine(study.train.engine)  # before the first network learns: its judge too takes the study's threads
        judges = _extractors(study, where, rows, cache, repeat, fold)
        for target in waiting:
            _make(target, study, where, rows, cache, judges, place)
    if wanted:
        _gather(wanted, study, where)


def _make(
    target: Target, study: Study, where: StudyDir, rows: FoldRows, cache: PixelCache, judges: list[Extractor],
    place: Machine,
) -> None:  # fmt: skip
    unit = _unit(target, study, where)
    folder = unit.folder
    chosen = training_rows(target, rows)
    names = target_classes(study, where, target.repeat, target.fold) if target.conditional else [target.name]
    counts = {name: samples_needed(study, rows, name) for name in names}
    folder.mkdir(parents=True, exist_ok=True)
    with unit.work((folder / "generator.safetensors", folder / "samples.parquet")):
        material = material_of(chosen, cache, target, rows.dataset.classes)
        # on a GPU only when told: at 64 px it gains nothing there (82 updates/s of a DCGAN in float32, 69 in bfloat16)
        bf16 = place.may_choose or study.train.engine.precision == "bf16"
        training = train_gan(target, study.synthesize, material, judges[0], folder, unit.key(), place.device, bf16)
        made = draw_samples(training, target, material, counts)
        write_record(target, study.synthesize, chosen, training, folder)
        judged = [
            _judge(name, images, target, chosen, cache, judges, where, study, rows) for name, images in made.items()
        ]
        write_samples(pd.concat([samples for samples, _ in judged]), folder / "samples.parquet")
        write_json(folder / "quality.json", [row for _, rows_ in judged for row in rows_])
        for needed_to_go_on in ("checkpoint.safetensors", "best.safetensors"):
            (folder / needed_to_go_on).unlink(missing_ok=True)


def _judge(
    name: str, images: NDArray[np.uint8], target: Target, chosen: pd.DataFrame, cache: PixelCache,
    judges: list[Extractor], where: StudyDir, study: Study, rows: FoldRows,
) -> tuple[pd.DataFrame, list[dict[str, Any]]]:  # fmt: skip
    """The samples of one class as rows (copies left out unless forced) and the figures of their quality."""
    folder = where.gan(target.gan.label, target.name, target.repeat, target.fold, target.seed)
    known = chosen[chosen[f"y_{name}"] == 1]
    real, unseen = cache.take(list(known["row_id"])), _unseen(rows, name, target, cache)
    found, repeated = quality.find_copies(images, real, judges[0], unseen, known["group"])
    order = quality.closest_pairs(found)
    pairs_montage(images[order], real[found.nearest[order]], folder / f"closest-{name.replace('/', '--')}.png")
    ids = known["row_id"].to_list()
    copy_of = [ids[near] if flag else None for near, flag in zip(found.nearest, repeated, strict=True)]
    if repeated.any():
        fate = "used all the same (force_copies)" if study.synthesize.force_copies else "not used"
        say(f"{target.title}: {repeated.sum()} of {len(images)} images of {name} repeat a training image: {fate}")
    table = save_samples(images, name, copy_of, target, rows.dataset.classes, folder, where)
    memory = {"copies": (float(repeated.mean()), 0.0), "nearer_than_unseen": (found.closer_than_holdout, 0.5)}
    figures = _figures(name, images, real, target, judges, memory)
    return (table if study.synthesize.force_copies else table[~repeated]), figures


def _unseen(rows: FoldRows, name: str, target: Target, cache: PixelCache) -> NDArray[np.uint8] | None:
    """Validation images of the class, which the GAN has not seen; test rows stay unread."""
    held_out = rows.held_out[rows.held_out["row_id"].isin(rows.validation) & (rows.held_out[f"y_{name}"] == 1)]
    return None if target.before_split or len(held_out) < LEAST_UNSEEN else cache.take(list(held_out["row_id"]))


def _figures(
    name: str, images: NDArray[np.uint8], real: NDArray[np.uint8], target: Target, judges: list[Extractor],
    memory: dict[str, tuple[float, float]],
) -> list[dict[str, Any]]:  # fmt: skip
    """Distances by every extractor, beside noise and a per-pixel Gaussian; and signs of memory."""
    stands = {"target": name, "repeat": target.repeat, "fold": target.fold, "seed": target.seed}
    sets = {target.gan.label: images} | quality.baselines(real, target.seed)
    found = [
        {"gan": label} | stands | row
        for label, pictures in sets.items()
        for judge in judges
        for row in quality.measure(real, pictures, judge, target.seed)
    ]
    judged_by = {"extractor": judges[0].name, "extractor_sha256": judges[0].sha256}
    shared = {"gan": target.gan.label} | stands | judged_by
    shared |= {"spread": np.nan, "n_real": len(real), "n_generated": len(images)}
    return found + [shared | {"metric": metric, "value": v, "floor": floor} for metric, (v, floor) in memory.items()]


def _extractors(
    study: Study, where: StudyDir, rows: FoldRows, cache: PixelCache, repeat: int, fold: int
) -> list[Extractor]:
    """The feature networks that judge; `task` is trained here, once per fold, on its training rows."""
    found = []
    for name in dict.fromkeys(["task", *study.synthesize.extractors]):
        if name == "task":
            # a GAN of a few updates tries the road: its judge learns no longer than ten times as many steps
            extractor = _task_extractor(where, rows, cache, repeat, fold, min(TASK_STEPS, 10 * study.synthesize.steps))
        else:
            given = study.synthesize.extractor_weights.get(name)
            extractor = named_extractor(name, (where.data or where.root) / given if given else None)
        found.append(extractor)
    return found


def _task_extractor(
    where: StudyDir, rows: FoldRows, cache: PixelCache, repeat: int, fold: int, steps: int
) -> Extractor:
    """The feature network of a fold, from its file when it learned from the same images and labels, else trained."""
    images, labels = cache.take(list(rows.train["row_id"])), labels_of(rows.train, rows.dataset.classes)
    folder = where.extractor("task", repeat, fold)
    weights, told = folder / "network.safetensors", folder / "extractor.json"
    shorter = f"{steps} steps" if steps < TASK_STEPS else ""
    learned_from = sha256_of_bytes(images.tobytes() + labels.tobytes() + shorter.encode())
    if weights.exists() and told.exists() and read_json(told).get("learned_from") == learned_from:
        return task_extractor(load_task_network(weights, images, labels))
    say(f"synthesize: training the feature network of fold r{repeat}f{fold}")
    network = train_task_network(images, labels, seed=0, steps=steps)
    extractor = task_extractor(network)
    write_contents(folder / "contents.json", rows.train["content_id"])
    save_weights(weights, network.state_dict())
    facts = {"name": "task", "sha256": extractor.sha256, "dimension": extractor.dimension, "learned_from": learned_from}
    write_json(told, facts)
    return extractor


def _gather(wanted: list[Target], study: Study, where: StudyDir) -> None:
    made = [_unit(target, study, where) for target in wanted]
    unit = _gathering(made, where)
    if unit.state() == "done":
        return
    with unit.work((where.synthetic_rows, where.synthetic_quality)):
        write_samples(pd.concat([read_table(u.folder / "samples.parquet") for u in made]), where.synthetic_rows)
        table = quality.quality_table([row for u in made for row in read_json(u.folder / "quality.json")])
        table = table.drop_duplicates([c for c in table.columns if c not in ("value", "spread", "floor")])
        write_with(where.synthetic_quality, lambda temporary: table.to_csv(temporary, index=False))


def _gathering(made: list[Unit], where: StudyDir) -> Unit:
    return Unit("synthesize", "rows", where.synthesize, {}, tuple(unit.done_file for unit in made))


def _unit(target: Target, study: Study, where: StudyDir) -> Unit:
    settings = as_yaml(study.synthesize)
    for name in ("gans", "for", "seeds", "before_split"):
        del settings[name]
    policies = [study.arm(arm)[0] for arm in study.arms]
    # synthetic_only is written like a top_up to the majority and needs more images
    needed = [one.options | ({"instead": True} if one.name == "synthetic_only" else {}) for one in policies]
    settings |= {
        "gan": target.gan.as_written(),
        "target": target.name,
        "seed": target.seed,
        "before_split": target.before_split,
        "needed": [options for options in needed if options.get("from") == target.gan.label],
        "fold": [target.repeat, target.fold],
    }
    if target.conditional:
        settings["compared"] = "class by class"  # before, with as many images of a rare class as of a frequent one
    settings |= pixel_choices(where) | ({"fit": study.train.fit} if study.train.fit != "stretch" else {})
    folder = where.gan(target.gan.label, target.name, target.repeat, target.fold, target.seed)
    return Unit("synthesize", target.title, folder, settings, (where.clean_rows, where.splits))
