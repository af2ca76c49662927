"""What a bundle says that it does with test images: counted, of one image of a patient, and not where they leaked."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

from export.finished_study import Finished, finished_study
from secondread.core.files import read_json, write_json
from secondread.core.tables import PREDICTION_COLUMNS, read_table, write_table
from secondread.export import run
from secondread.export.material import material_of
from secondread.models.bundle import Bundle
from secondread.models.chosen import picked


def folder(made: Finished) -> Path:
    return made.where.export("plain", "plain_cnn")


def test_the_card_counts_what_the_bundle_does_with_test_images(exported: Finished) -> None:
    bundle = Bundle.open(folder(exported), threads=1)
    table = read_table(exported.where.predictions(picked(exported.study, exported.where).trial.name))
    assert exported.where.data is not None
    readings = [bundle.read(exported.where.data / str(row)) for row in table.loc[table["split"] == "test", "row_id"]]
    read = [reading for reading in readings if reading.status != "refused"]
    assert bundle.card.expected == {
        "images": 60, "refused": 60 - len(read), "uncertain": sum(one.status == "uncertain" for one in read),
        "decided": {name: sum(one.decision == name for one in read) for name in bundle.card.classes},
    }  # fmt: skip
    assert "Of 60 test images, one of a patient, it refused" in (folder(exported) / "MODEL_CARD.md").read_text()


def test_of_each_patient_one_test_image_is_counted(exported: Finished, tmp_path: Path) -> None:
    """They are independent cases then, as the interval of a share wants them."""
    where = replace(exported.where, root=Path(shutil.copytree(exported.where.root, tmp_path / "copy")))
    one = picked(exported.study, where)
    path = where.predictions(one.trial.name)
    table = read_table(path)
    write_table(table.assign(group=[f"g{at // 3}" for at in range(len(table))]), path, PREDICTION_COLUMNS)
    groups = read_table(path).set_index("row_id")["group"]
    test = groups[list(material_of(where, one).test_ids)]
    assert test.is_unique
    assert set(test) == set(groups[read_table(path).set_index("row_id")["split"] == "test"])


def test_under_a_protocol_that_leaks_nothing_is_counted(tmp_path: Path) -> None:
    made = finished_study(tmp_path, steps=2)
    write_json(made.where.split_proof, read_json(made.where.split_proof) | {"leaky": True})
    run.run(made.study, made.where)
    assert Bundle.open(folder(made), threads=1).card.expected == {}
