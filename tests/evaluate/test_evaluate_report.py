"""The report of a twelve-trial study: every number traceable, nothing asked of another place, hostile tables told."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.metrics import roc_auc_score

from secondread.core.files import write_json
from secondread.core.spec import Study, as_yaml
from secondread.core.spec.data import Prepare
from secondread.core.studydir import StudyDir
from secondread.core.studyfile import load_study, parse_study
from secondread.core.tables import CLEAN_COLUMNS, PREDICTION_COLUMNS, ROW_COLUMNS, read_table, write_table
from secondread.evaluate import part_made, part_subsets, report
from secondread.evaluate.about_data import suspect
from secondread.evaluate.checklist import checklist
from secondread.evaluate.gallery import Gallery
from secondread.evaluate.methods_text import methods_text
from secondread.evaluate.part_cases import browser_data
from secondread.evaluate.part_made import bundle_table, training_losses
from secondread.evaluate.predictions import read_evidence
from secondread.evaluate.record import read_record
from secondread.evaluate.result_tables import without_rare
from secondread.evaluate.results import results
from secondread.evaluate.run import report_unit, run, score, units
from secondread.evaluate.suspects import suspected_labels
from secondread.metrics.reliability import calibration_line
from secondread.pages.blocks import Shown
from secondread.pages.document import render
from secondread.pages.numbers import shown
from secondread.pages.style import panels, styled

Simulate = Callable[..., tuple[Study, StudyDir]]
LIMIT = 15_000_000
FEW = {"bootstrap": 50, "metrics": ["auroc", "f1"]}
CHROMIUM = Path("/usr/bin/chromium")


@pytest.fixture(scope="module")
def twelve(simulated_in: Callable[..., Any], simulated: Any, tmp_path_factory: pytest.TempPathFactory) -> StudyDir:
    """Three arms × four networks, an audit with findings, GAN quality, heatmaps' and bench's leftovers."""
    known = simulated(
        classes=("Normal", "Viral Pneumonia", "Covid"), task="multiclass", shares=(0.5, 0.2, 0.3), rows=260,
        per_patient=2,
        skill={"imbalanced": 1.2, "wgan": 2.1, "traditional": 1.3}, models=("net1", "net2", "net3", "net4"),
        evaluate={"bootstrap": 100},
    )  # fmt: skip
    study, where = simulated_in(tmp_path_factory.mktemp("twelve"), known)
    leave_what_other_steps_leave(where)
    run(study, where)
    assert [unit.state() for unit in units(study, where)] == ["done", "done"]
    return where


def leave_what_other_steps_leave(where: StudyDir) -> None:
    audit = json.loads(where.audit.read_text())
    audit["probes"] = {"metadata": {"auroc": 0.93, "low": 0.9, "high": 0.95}}
    found = {
        "code": "duplicates_across_classes",
        "severity": "error",
        "message": "The same bytes stand in two classes.",
    }
    audit["findings"] = [found | {"files": ["a.png"] * 9}, found | {"code": "shortcut_metadata"}]
    write_json(where.audit, audit)
    where.synthesize.mkdir(parents=True)
    judged = {"gan": "wgan", "target": "Covid", "extractor": "task", "value": 9.0, "spread": np.nan, "floor": 3.0}
    quality = pd.DataFrame([judged | {"metric": metric} for metric in ("fid", "kid")])
    quality.to_csv(where.synthetic_quality, index=False)
    losses = where.gan("wgan", "Covid", 0, 0, 0) / "losses.csv"
    losses.parent.mkdir(parents=True)
    told = {"step": range(1, 1001), "generator_loss": 0.5, "critic_loss": 0.5, "wasserstein": np.arange(1000)}
    pd.DataFrame(told).to_csv(losses, index=False)
    folder = where.export("wgan", "net1")
    write_json(folder / "card.json", {"precision": "fp32", "sha256": "ab" * 32, "members": [], "parity": {"flips": 0}})
    timed = {"bundle": "twelve/wgan/net1", "engine": "native", "precision": "fp32", "batch": 1, "threads": 2}
    write_json(folder / "bench.json", [timed | {"p50_ms": 4.0, "p95_ms": 5.0, "images_per_s": 250.0}])


class Page(HTMLParser):
    """The text of the summary, banners and result tables, with the exact values behind numbers; and every address."""

    VOID = frozenset({"img", "meta", "link", "br", "input", "line"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[tuple[str, dict[str, str | None]]] = []
        self.numbers: list[tuple[str, str]] = []
        self.loose: list[str] = []
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.addresses += [v for k, v in found.items() if k in ("src", "href", "action", "srcset") and v]
        if tag not in self.VOID:
            self.open.append((tag, found))

    def handle_endtag(self, tag: str) -> None:
        while self.open and self.open.pop()[0] != tag:
            pass

    def handle_data(self, text: str) -> None:
        classes = [str(found.get("class") or "") for _, found in self.open]
        inside = any(found.get("id") == "summary" for _, found in self.open) or any(
            "results" in c.split() for c in classes
        )
        if not inside or not text.strip():
            return
        tag, found = self.open[-1]
        if tag == "data":
            self.numbers.append((str(found["value"]), text))
        elif tag not in ("th", "h2") and not any({"name", "setting"} & set(c.split()) for c in classes):
            self.loose += re.findall(r"\d[\d.]*", re.sub(r"Nadeau|max-T over \d+ comparisons|F1", "", text))


def read_page(where: StudyDir) -> Page:
    page = Page()
    page.feed(where.report.read_text())
    return page


def test_every_number_of_summary_and_result_tables_is_a_row_of_a_results_file(twelve: StudyDir) -> None:
    page = read_page(twelve)
    known: set[float] = set()
    for path in (twelve.scores, twelve.comparisons):
        table = pd.read_csv(path).select_dtypes("number")
        known |= set(table.to_numpy(dtype=float).ravel().tolist())
    assert len(page.numbers) > 1000
    for exact, text in page.numbers:
        value = float(exact)
        assert math.isnan(value) or value in known, f"{text} ({exact}) is in neither file"
        styles = [
            {"digits": d, "signed": s, "kind": k}
            for d in (0, 2, 3)
            for s in (True, False)
            for k in ("plain", "p", "count")
        ]
        assert text in [shown(value, **style) for style in styles]  # type: ignore[arg-type]
    assert page.loose == []


def test_it_is_one_file_that_asks_nothing(twelve: StudyDir) -> None:
    assert twelve.report.stat().st_size < LIMIT
    page = read_page(twelve)
    assert [a for a in page.addresses if not a.startswith(("data:", "#"))] == []


def test_every_section_is_there(twelve: StudyDir) -> None:
    text = twelve.report.read_text()
    anchors = re.findall(r'<section id="([a-z]+)">', text)
    assert anchors == [
        "summary", "results", "comparisons", "calibration", "subgroups", "training", "data", "synthetic", "cases",
        "bundle", "methods",
    ]  # fmt: skip
    assert "SHORTCUT" in text
    assert "LEAKY PROTOCOL" not in text
    assert "for research and education, not a medical device" in text


@pytest.mark.parametrize(
    ("kept", "words"),
    [("best", "the epoch with the best validation score was kept"), ("last", "the last epoch was kept")],
)
def test_the_methods_say_which_weights_were_kept(twelve: StudyDir, kept: str, words: str) -> None:
    study = load_study(twelve.study_file)
    train = study.train.model_copy(update={"early_stop": None, "keep": kept})
    assert words in methods_text(read_record(study.model_copy(update={"train": train}), twelve))


def test_the_methods_are_those_of_the_study(simulate: Simulate) -> None:
    study, where = simulate(rows=80, folds=2, skill={"first": 1.5, "second": 1.5}, images=False)
    score(study, where)
    written = as_yaml(study)
    written["train"] |= {"regime": "head", "augment": "light", "label_smoothing": 0.1, "uncertain": {"covid": "ones"}}
    written["arms"] = {"first": {"train": {"weights": "imagenet"}}, "second": {"train": {"epochs": 9, "ema": 0.9}}}
    written["synthesize"] |= {"gans": ["dcgan", "wgan"], "before_split": ["wgan"], "force_copies": True}
    written["prepare"] |= {"allow_leakage": True}
    told = methods_text(read_record(parse_study(written), where))
    assert "from ImageNet weights, trained (regime head, augmentation light)" in told
    assert "first and second (epochs: 9; ema: 0.9; weights: none)" in told
    assert "Further settings: uncertain covid ones; label smoothing 0.1; gradients cut to a norm of 1." in told
    assert "equally many optimiser steps" not in told  # 6 epochs are not 9
    assert "Each was trained once in each of 2 folds." in told
    assert "Generative networks (wgan) were trained on all rows, test rows too." in told
    assert "Generated images that copy a training image were used all the same." in told
    assert "Arms were compared" in told
    assert "max-T" not in told  # there is one comparison


def test_the_methods_name_the_given_split_and_count_what_is_one(simulate: Simulate) -> None:
    study, where = simulate(rows=80, images=False)
    score(study, where)
    rows = read_table(where.clean_rows)
    write_table(rows.assign(split_given=np.where(rows.index < 20, "test", "train")), where.clean_rows, {})
    written = as_yaml(study)
    written["prepare"]["split"] = {"name": "official", "test": "auto", "val": None, "otherwise": 0.2}
    written["train"] |= {"epochs": 1, "early_stop": {"patience": 1}, "loss": {"name": "focal_bce", "alpha": None}}
    told = methods_text(read_record(parse_study(written), where))
    assert "The split that comes with the data was used." in told
    assert "for 1 epoch; " in told
    assert "after 1 epoch without progress" in told
    assert "with focal_bce loss" in told
    write_table(rows, where.clean_rows, {})
    told = methods_text(read_record(parse_study(written), where))
    assert "Images were split by patient" in told
    assert "(official (test auto, otherwise 0.2))" in told
    written["train"]["steps"] = 7
    said = [str(row[3]) for row in checklist(read_record(parse_study(written), where)).rows]
    assert next(words for words in said if words.startswith("1 trial;")).endswith("at most 7 steps")


@pytest.mark.parametrize(
    ("checks", "words"),
    [
        (list(Prepare().checks), "The audit found nothing that speaks against these results."),
        (["unreadable", "duplicates", "near_duplicates"], "; it was not asked about label conflicts and shortcuts."),
        ([], "The study asked for no check of the data."),
    ],
)
def test_the_summary_says_what_the_audit_was_not_asked(simulate: Simulate, checks: list[str], words: str) -> None:
    study, where = simulate(rows=40, images=False, evaluate={"bootstrap": 5})
    score(study, where)
    record = read_record(study.model_copy(update={"prepare": Prepare.model_validate({"checks": checks})}), where)
    assert str(suspect(record)).endswith(words)


def test_a_bundle_without_heatmaps_agrees_in_none(simulate: Simulate) -> None:
    study, where = simulate(rows=80, images=False)
    score(study, where)
    card = where.export("imbalanced", "resnet18") / "card.json"
    write_json(card, {"parity": {"flips": 0, "heat_images": 0, "heat_correlation": None}, "no_heatmaps": "no grid"})
    (row,) = bundle_table(read_record(study, where), [card]).rows
    assert row[-2:] == ["flips 0", "no grid"]


def test_the_methods_name_the_comparisons_that_were_made(simulate: Simulate) -> None:
    study, where = simulate(rows=80, skill={"only": 1.5}, models=("one", "two"), evaluate=FEW, images=False)
    score(study, where)
    told = methods_text(read_record(study, where))
    assert "Networks were compared on the same test rows by DeLong's paired test" in told
    assert "corrected by Holm's method within each arm. A difference" in told
    study, where = simulate(rows=80, skill={"a": 1.5, "b": 2, "c": 2}, models=("one", "two"), seeds=(0, 1, 2),
                            evaluate=FEW, images=False)  # fmt: skip
    score(study, where)
    told = methods_text(read_record(study, where))
    assert "Arms, and networks within each arm, were compared" in told
    assert "within each metric, of networks within each arm. Beside stand simultaneous max-T intervals" in told
    assert "a mixed model of the arms' effects over networks and trainings and Wilcoxon's" in told


def test_the_methods_of_one_arm_compare_nothing(simulate: Simulate) -> None:
    study, where = simulate(rows=80, skill={"only": 1.5}, images=False, evaluate={"threshold": {"name": "argmax"}})
    score(study, where)
    record = read_record(study, where)
    told = methods_text(record)
    assert "compared" not in told
    assert "the most probable class was decided. Calibration was fitted on validation rows" in told
    assert "Test rows took no part in any fit or choice." in told
    record.evidence.leaky.append("only")
    assert "took no part" not in methods_text(record)
    disjoint = next(row for row in checklist(record).rows if row[0] == "Level at which partitions are disjoint")
    assert str(disjoint[3]).startswith("LEAKY PROTOCOL")


def test_a_stamp_lies_over_nothing(tmp_path: Path) -> None:
    drawn = styled(panels)(2, 2, 2.0, 1.5)[0]
    drawn.axes[-1].set_title("Precision (PPV)", loc="right")
    Gallery(tmp_path, "LEAKY PROTOCOL").show("two", "t", "c", lambda: drawn)
    title, mark = drawn.axes[-1]._right_title, drawn.texts[-1]  # type: ignore[attr-defined]
    assert mark.get_text() == "LEAKY PROTOCOL"
    assert not mark.get_window_extent().overlaps(title.get_window_extent())


def test_figures_and_tables_lie_beside_it(twelve: StudyDir) -> None:
    names = {path.stem for path in twelve.figures.glob("*.svg")}
    assert names == {path.stem for path in twelve.figures.glob("*.png")}
    assert {
        "metrics", "roc", "precision_recall", "confusion", "forest", "reliability", "decision", "curves", "schedule",
        "labels", "means", "samples", "subgroups", "gan_quality", "gan_losses", "speed",
    } <= names  # fmt: skip
    written = {path.name for path in (twelve.evaluate / "tables").iterdir()}
    assert {"overview.tex", "overview.md", "differences.tex", "differences.md", "suspected_labels.csv"} <= written


def test_long_losses_are_drawn_as_means_of_neighbours(twelve: StudyDir) -> None:
    told = training_losses(twelve.synthesize)
    assert len(told) == 200
    assert told["wasserstein"].tolist()[:2] == [2.0, 7.0]
    assert set(told["gan"]) == {"wgan"}


def test_average_precision_stands_beside_what_guessing_gives(twelve: StudyDir) -> None:
    scores = pd.read_csv(twelve.scores)
    share = scores[(scores["metric"] == "prevalence") & (scores["split"] == "test")].set_index("class")["value"]
    assert share.sum() == pytest.approx(1.0)
    (path,) = (twelve.evaluate / "tables").glob("class-*-test.md")
    (line,) = (line for line in path.read_text().splitlines() if line.startswith("| Covid |"))
    assert f"| {share['Covid']:.3f} |" in line


def test_the_summary_file_says_what_the_page_says(twelve: StudyDir) -> None:
    text = re.sub(r"<[^>]+>", "", twelve.report.read_text())
    flat = " ".join(text.replace("&#39;", "'").split())
    for sentence in json.loads(twelve.summary.read_text())["sentences"]:
        assert " ".join(sentence.split()) in flat


@pytest.mark.browser
def test_it_opens_in_chromium_and_sorts(twelve: StudyDir) -> None:
    if not CHROMIUM.exists():
        pytest.skip("Chromium is not installed")
    from playwright.sync_api import sync_playwright

    told: list[str] = []
    with sync_playwright() as player:
        browser = player.chromium.launch(
            executable_path=str(CHROMIUM), args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        )
        page = browser.new_page()
        page.on("console", lambda message: told.append(message.text))
        page.on("pageerror", lambda error: told.append(str(error)))
        page.on(
            "request", lambda asked: told.append(asked.url) if not asked.url.startswith(("data:", "file:")) else None
        )
        page.goto(twelve.report.as_uri())
        head = page.locator("table.results").first.locator("th").nth(3)
        rows = "document.querySelector('table.results').tBodies[0].rows"
        column = f"Array.from({rows}, row => parseFloat(row.cells[3].dataset.key))"
        head.click()
        rising = page.evaluate(column)
        head.click()
        falling = page.evaluate(column)
        page.select_option("#f-right", "false")
        wrong, all_shown = page.locator(".case.wrong").count(), page.locator(".case").count()
        wide = page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
        page.emulate_media(media="print")
        page.set_viewport_size({"width": 680, "height": 1000})  # A4 between its margins
        page.evaluate("for (const one of document.querySelectorAll('details')) one.open = true")
        cut = page.evaluate(
            "[...document.querySelectorAll('.scroll')].filter(e => e.scrollWidth > e.clientWidth + 1).map(e => e.id)"
        )
        browser.close()
    assert told == []
    assert cut == []
    assert rising == sorted(rising)
    assert falling == rising[::-1]
    assert 0 < wrong == all_shown
    assert wide


class Unsaved(Gallery):
    """Draws, but leaves rendering aside."""

    def show(self, name: str, title: str, caption: str, draw: Callable[[], Any]) -> Shown:
        draw()
        return Shown(name, title, caption, "data:,")


def page_of(study: Study, where: StudyDir) -> str:
    results(read_evidence(study, where), study, where).write()
    record = read_record(study, where)
    return render("report.html.j2", report=report.report_of(record, Unsaved(where.figures)))


def without_covid(table: pd.DataFrame) -> pd.DataFrame:
    return table[~((table["split"] == "test") & (table["y_covid"] == 1))]


def constant(table: pd.DataFrame) -> pd.DataFrame:
    return table.assign(logit_normal=np.float32(0), logit_covid=np.float32(0))


def not_numbers(table: pd.DataFrame) -> pd.DataFrame:
    return table.assign(logit_covid=table["logit_covid"].where(np.arange(len(table)) % 7 > 0))


def one_patient(table: pd.DataFrame) -> pd.DataFrame:
    return table.assign(patient="P", group="P")


def rows_twice(table: pd.DataFrame) -> pd.DataFrame:
    return pd.concat([table, table.head(30)], ignore_index=True)


def one_row_each(table: pd.DataFrame) -> pd.DataFrame:
    return table.groupby("split", sort=False).head(1)


def no_rows(table: pd.DataFrame) -> pd.DataFrame:
    return table.head(0)


def no_validation(table: pd.DataFrame) -> pd.DataFrame:
    return table[table["split"] == "test"]


HOSTILE: dict[str, tuple[Callable[[pd.DataFrame], pd.DataFrame], list[str]]] = {
    "a class absent from test": (without_covid, ["no covid case in this set", "could not be compared"]),
    "constant predictions": (constant, ["every row has the same prediction", "No difference to"]),
    "NaN logits": (not_numbers, ["predictions that are no numbers", "stands first; no score could be computed"]),
    "one patient": (one_patient, ["of <data value=\"1.0\">1</data> patient ", "too few cases"]),
    "duplicate row ids": (rows_twice, ["rows repeat a row id; the first of each was counted"]),
    "one row": (one_row_each, ["<data value=\"1.0\">1</data> test image", "temperature left at 1"]),
    "no rows": (no_rows, ["There is no test image"]),
    "no validation": (no_validation, ["stands first; no score could be computed"]),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_tables_give_a_report_that_says_so(name: str, simulate: Simulate) -> None:
    how, promised = HOSTILE[name]
    settings = {"bootstrap": 50, "metrics": ["auroc", "f1"]}
    study, where = simulate(rows=160, skill={"a": 1.4, "b": 1.5}, evaluate=settings, images=False)
    for path in sorted((where.root / "predict").rglob("*.parquet")):
        write_table(how(read_table(path)), path, PREDICTION_COLUMNS)
    page = page_of(study, where)
    for words in promised:
        assert words in page, words


def test_a_leaky_study_says_so_on_top(simulate: Simulate) -> None:
    study, where = simulate(rows=100, evaluate={"bootstrap": 30, "metrics": ["auroc"]}, images=False)
    write_json(where.split_proof, {"leaky": True})
    page = page_of(study, where)
    assert "<b>LEAKY PROTOCOL.</b>" in page
    assert "that no training saw" not in page
    assert json.loads(where.summary.read_text())["banners"][0].startswith("LEAKY PROTOCOL")
    assert pd.read_csv(where.scores)["method"].str.endswith("[LEAKY PROTOCOL]").mean() > 0.9


def test_hostile_class_and_file_names_stay_words(simulate: Simulate) -> None:
    evil = "<img src=x onerror=alert(1)>$_{"
    study, where = simulate(
        rows=120, classes=("no|rmal", evil), evaluate={"bootstrap": 30, "metrics": ["auroc", "f1"]},
        skill={"a&b": 1.0, "c": 1.4},
    )  # fmt: skip
    page = page_of(study, where)
    assert "<img src=x" not in page
    assert "&lt;img src=x" in page


def test_the_calibration_line_of_the_picked_trial_is_told_with_intervals(simulate: Simulate) -> None:
    study, where = simulate(rows=300, skill={"a": 1.2}, evaluate={"bootstrap": 60, "metrics": ["auroc"]}, images=False)
    (table,) = re.findall(r'id="table-lines".*?</table>', page_of(study, where), re.DOTALL)
    values = [float(value) for value in re.findall(r'<data value="([^"]+)"', table)]
    cases = read_record(study, where).picked_trial.test
    expected = calibration_line(cases.probabilities[:, 1], cases.truth[:, 1])
    at = values.index(expected.slope)
    low, high = values[at + 1 : at + 3]
    assert low < expected.slope < high
    assert expected.intercept in values


def test_many_labels_and_seeds(simulate: Simulate) -> None:
    study, where = simulate(
        task="multilabel", classes=("Edema", "Rare", "Effusion"), shares=(0.4, 0.02, 0.3), rows=160, seeds=(0, 1),
        skill={"plain": 1.4, "focal": 1.5}, evaluate={"bootstrap": 50, "metrics": ["auroc", "f1", "hamming"]},
    )  # fmt: skip
    page = page_of(study, where)
    assert "over the trainings of each recipe" in page
    assert "stratified by the rarest label of a patient. Draws so keep the class mix of the test rows" in page
    assert "the threshold of each label maximised its sensitivity plus specificity" in page
    assert "are means over their trainings, with bootstrap intervals over patients and trainings." in page
    assert "on the same test rows by the paired bootstrap over patients and trainings; p values" in page
    assert "Which labels occur together" in page
    assert "AUROC over seeds and folds" in page
    assert "Means leave out what has fewer than ten cases on a side on test: Rare." in page
    assert "over the labels with enough cases is" in page


def test_a_label_that_is_not_known_is_no_error_and_hides_no_decision(simulate: Simulate) -> None:
    names = ("Edema", "Effusion", "Mass")
    study, where = simulate(task="multilabel", classes=names, shares=(0.4, 0.4, 0.4), rows=160, skill={"plain": 9.0},
                            evaluate={"bootstrap": 20, "metrics": ["exact_match"]}, images=False)  # fmt: skip
    path = where.predictions("plain/resnet18/r0f0s0")
    table = read_table(path)
    table.loc[table.index % 2 == 0, "y_Mass"] = np.nan
    table.loc[table.index % 8 == 0, ["y_Edema", "y_Effusion"]] = -1
    write_table(table, path, PREDICTION_COLUMNS)
    found = results(read_evidence(study, where), study, where)
    cases = browser_data(found.judged[0].test, found.judged[0].predicted.test.row_ids, None)["cases"]
    nothing = [case for case in cases if case["ok"] is None]
    assert {tuple(case["unknown"]) for case in cases} == {(), (2,), (0, 1, 2)}
    assert [case for case in cases if case["unknown"] == [0, 1, 2]] == nothing
    s = found.scores
    exact = s[(s["split"] == "test") & (s["metric"] == "exact_match") & (s["repeat"] == -1)]["value"].item()
    assert np.mean([case["ok"] for case in cases if case["ok"] is not None]) == pytest.approx(exact)
    assert exact > 0.9
    assert any(2 in case["read"] for case in nothing)


@pytest.mark.parametrize("lost", [0, 1])
def test_what_one_training_cannot_say_is_said(simulate: Simulate, lost: int) -> None:
    study, where = simulate(
        rows=200, seeds=(0, 1), skill={"a": 0.5, "b": 4.0}, evaluate={"bootstrap": 50, "metrics": ["auroc"]},
        images=False,
    )  # fmt: skip
    if lost:
        where.predictions("b/resnet18/r0f0s1").unlink()
    page = page_of(study, where)
    assert "It is better than" in page
    assert "over the trainings of each recipe" in page
    assert ("over one training of each, another seed may say otherwise" in page) == bool(lost)
    assert ("had one training, what another seed would give is not in the brackets" in page) == bool(lost)


def test_the_folds_of_one_seed_are_one_training(simulate: Simulate) -> None:
    study, where = simulate(
        rows=200, folds=2, skill={"a": 0.5, "b": 4.0}, evaluate={"bootstrap": 50, "metrics": ["auroc"]}, images=False
    )
    page = page_of(study, where)
    assert "over one training of each, another seed may say otherwise" in page
    assert "Each recipe was trained once" in page
    assert "each read only by trainings that had not seen it" in page
    assert "that no training saw" not in page
    assert "over the trainings of each recipe" not in page


def test_autoencoders_are_shown_beside_a_plain_resize(simulate: Simulate) -> None:
    study, where = simulate(rows=160, skill={"codes": 1.4}, models=("coded_cnn",), evaluate=FEW, images=False)
    room = where.trial("autoencoders")
    for label in ("32px-stretch-256ch-10ep", "96px-stretch-256ch-10ep"):  # the second is of an earlier study file
        leave_an_autoencoder(room / label / "r0f0")
    page, before = page_of(study, where), report_unit(study, where).key()
    assert '<section id="codes">' in page
    assert "32px-stretch-256ch-10ep" in page
    assert "96px-stretch" not in page
    assert 'data-key="31.5"' in page
    assert page.count("data:image/jpeg") == 1
    (room / label / "r0f0" / "quality.csv").unlink()
    assert report_unit(study, where).key() != before


def leave_an_autoencoder(folder: Path) -> None:
    folder.mkdir(parents=True)
    pd.DataFrame({"epoch": [1, 2], "train_loss": [0.2, 0.1], "val_loss": [0.3, 0.2]}).to_csv(folder / "epochs.csv")
    told = {"values": 1024, "share_of_pixels": 1.0, "bits": 32768, "ssim": 0.9, "images": 12}
    rows = [told | {"method": "autoencoder", "psnr": 31.5}, told | {"method": "resize", "psnr": 33.0}]
    pd.DataFrame(rows).to_csv(folder / "quality.csv")
    Image.new("L", (40, 20), 90).save(folder / "reconstructions.png")


def test_planted_label_errors_are_suspected_first(simulate: Simulate) -> None:
    study, where = simulate(rows=300, skill={"a": 4.0, "b": 4.0}, images=False)
    table = read_table(where.predictions("a/resnet18/r0f0s0"))
    planted = set(table["row_id"].iloc[:6])
    for path in sorted((where.root / "predict").rglob("*.parquet")):
        table = read_table(path)
        wrong = table["row_id"].isin(planted)
        table.loc[wrong, ["y_normal", "y_covid"]] = 1 - table.loc[wrong, ["y_normal", "y_covid"]]
        write_table(table, path, PREDICTION_COLUMNS)
    found = results(read_evidence(study, where), study, where)
    suspects = suspected_labels(found.judged)
    assert set(suspects["row_id"].head(8)) >= planted
    assert (suspects["trials"] == 2).all()


def test_subgroups_too_small_for_any_score_have_a_table_and_no_empty_figure(simulate: Simulate) -> None:
    study, where = simulate(
        rows=80, task="multilabel", classes=("a", "b"), shares=(0.5, 0.1), skill={"one": 2.0}, images=False,
        evaluate={"bootstrap": 20, "metrics": ["accuracy"]},
    )  # fmt: skip
    score(study, where)
    section = part_subsets.subsets_section(read_record(study, where), Unsaved(where.figures))
    kinds = [block.kind for block in section.blocks]
    assert kinds[:2] == ["heading", "table"] or kinds[:2] == ["heading", "folded"]
    assert "figure" not in kinds


def test_a_subgroup_has_the_mean_of_the_labels_that_can_be_scored_and_says_which_cannot(simulate: Simulate) -> None:
    study, where = simulate(
        rows=400, task="multilabel", classes=("Edema", "Rare", "Mass"), shares=(0.4, 0.02, 0.3), images=False,
        evaluate={"bootstrap": 20, "subgroups": ["sex"]},
    )  # fmt: skip
    score(study, where)
    record = read_record(study, where)
    table = part_subsets.subset_tables(record)[0]
    assert table.name == "table-subgroups"
    assert "Without Rare: sex = " in table.note
    one = record.picked_trial
    women = (record.rows.reindex(one.predicted.test.row_ids)["sex"] == "F").to_numpy()
    truth, p = one.predicted.test.labels[women], one.test.probabilities[women]
    expected = np.mean([roc_auc_score(truth[:, k], p[:, k]) for k in (0, 2)])
    shown = {row[0].text: row[4].value.value for row in table.rows}
    assert shown["sex = F"] == pytest.approx(expected)


def test_the_labels_of_a_mean_are_named_by_the_shorter_list() -> None:
    left = {"sex = F": "a", "sex = M": "b, c, d", "view = AP": "b, c, d"}
    few = "(fewer than 10 cases on a side)"
    rows = [{"split": f"test: {part}", "method": f"BCa; without {names} {few}"} for part, names in left.items()]
    told = without_rare(pd.DataFrame(rows), ["a", "b, c", "d"])
    assert told.endswith("there. Without a: sex = F; over a alone: sex = M, view = AP.")


def test_values_of_a_subgroup_column_that_are_left_aside_are_counted(simulate: Simulate) -> None:
    study, where = simulate(rows=120, images=False, evaluate={"bootstrap": 20, "subgroups": ["site", "ward"]})
    rows = read_table(where.clean_rows).assign(x_ward=[f"ward {turn % 15}" for turn in range(120)])
    write_table(rows, where.clean_rows, ROW_COLUMNS | CLEAN_COLUMNS)
    score(study, where)
    table = part_subsets.subset_tables(read_record(study, where))[0]
    assert sum(row[0].text.startswith("ward = ") for row in table.rows) == 12
    assert table.note.endswith(" Of ward 3 rarer values are not shown.")


def test_gan_quality_is_told_in_one_way_of_writing_numbers() -> None:
    told = {"gan": "wgan", "target": "Covid", "extractor": "task"}
    rows = [{"metric": "fid", "value": 77.8, "floor": 0.834}, {"metric": "kid", "value": 5.5, "floor": -0.0145}]
    table = part_made.quality_table(pd.DataFrame([told | row for row in rows]))
    assert table.columns[-2:] == ["FID", "KID"]
    assert [str(cell).replace("\u00a0", " ") for cell in table.rows[0][-2:]] == ["77.8 / 0.8", "5.500 / −0.015"]
