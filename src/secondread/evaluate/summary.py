"""The result in plain words: what was compared, what won or did not, how sure that is, what is suspect."""

from __future__ import annotations

import math
from typing import Any

from secondread.evaluate.about_data import suspect
from secondread.evaluate.blocks import EVERY_MODEL
from secondread.evaluate.cautions import cautions
from secondread.evaluate.leakage import MARK, stamp
from secondread.evaluate.lookup import Lookup, difference_of, records
from secondread.evaluate.record import Record
from secondread.evaluate.unlearned import failed
from secondread.evaluate.versus import NOT_ALIKE
from secondread.pages.blocks import Banner, Tile
from secondread.pages.numbers import Number, metric_title, metric_word
from secondread.pages.sentences import Piece, Sentence, Setting, listed
from secondread.pages.tables import Interval, Name


def summary_of(record: Record) -> dict[str, Any]:
    """`summary.json`: the picked trial, banners, verdicts and the sentences of the report."""
    look = Lookup.of(record)
    verdicts = look.verdicts(look.primary)
    columns = ["arm", "baseline", "model", "metric", "difference", "low", "high", "p_adjusted", "verdict"]
    told = [{k: _plain(v) for k, v in row.items()} for row in verdicts[columns].to_dict("records")]
    return {
        "picked": record.picked, "banners": [f"{one.title}: {one.text}" for one in inherited(record)],
        "verdicts": told, "sentences": [str(one) for one in sentences(record)],
    }  # fmt: skip


def sentences(record: Record) -> list[Sentence]:
    look = Lookup.of(record)
    first = [compared(record, look), picked(record, look)]
    claims = [*failed(record.evidence), *cautions(record), *treatments(record, look), *networks(record, look)]
    return [*first, *claims, certainty(record), suspect(record)]


def networks(record: Record, look: Lookup) -> list[Sentence]:
    """The picked network against the others within its arm."""
    at, c = record.picked, record.comparisons
    own = c[(c["arm"] == at["arm"]) & (c["baseline"] == at["arm"]) & (c["metric"] == look.primary)]
    pairs = [(row, str(row["model"]).split(" vs ")) for row in records(own)]
    mine = [(row, pair) for row, pair in pairs if len(pair) == 2 and at["model"] in pair]
    pieces: list[Any] = []
    for kind in dict.fromkeys(row["verdict"] for row, _ in mine):
        told: list[Any] = []
        for row, (first, second) in [(row, pair) for row, pair in mine if row["verdict"] == kind][:MOST_NETWORKS]:
            word = f" is {kind} than " if kind in ("better", "worse") else " against "
            told += ["; " if told else "", Name(first), word, Name(second), " ", *_ranged(difference_of(row))]
            if kind in ("better", "worse") and _once(record, (at["arm"], first), (at["arm"], second)):
                told.append(" (one training of each)")
        heading = {"no difference shown": "no difference is shown, ", "too few cases": "too few cases to tell "}
        pieces += [" " if pieces else "", heading.get(kind, ""), *told, "."]
    return [Sentence("Networks.", [f"By {metric_word(look.primary)}: ", *pieces])] if pieces else []


def compared(record: Record, look: Lookup) -> Sentence:
    evidence = record.evidence
    arms, models = _first_of(evidence.arms), _first_of(evidence.models)
    pieces: list[Piece] = [*arms, ", each with " if len(evidence.arms) > 1 else " with ", *models, ": "]
    pieces += _counted(look.cohort("all", "trials"), "trial")
    if look.cohort("test", "images").value == 0:
        return Sentence("Compared.", [*pieces, ". There is no test image, so nothing could be judged."], "warning")
    pieces += [", judged on ", *_counted(look.cohort("test", "images"), "test image")]
    if record.evidence.dataset.patient_rule:
        pieces += [" of ", *_counted(look.cohort("test", "patients"), "patient")]
    if record.evidence.leaky:
        return Sentence("Compared.", [*pieces, "."])
    several = len({(one.trial.repeat, one.trial.fold) for one in evidence.trials}) > 1
    unseen = ", each read only by trainings that had not seen it." if several else " that no training saw."
    return Sentence("Compared.", [*pieces, unseen])


def _first_of(names: list[str]) -> list[Any]:
    """The names, or the first of very many and how many more there are."""
    if len(names) <= MOST_NAMED + 1:
        return listed(Name(name) for name in names)
    more: Any = Setting(f"{len(names) - MOST_NAMED} more")
    return listed([*map(Name, names[:MOST_NAMED]), more])


def picked(record: Record, look: Lookup) -> Sentence:
    at = record.picked
    arm, model = at["arm"], at["model"]
    metric, word = at["metric"], metric_word(at["metric"])
    on_val, on_test = (look.interval(arm, model, split, metric) for split in ("val", "test"))
    pieces: list[Any] = ["On validation, ", Name(arm), " with ", Name(model)]
    if at["value"] is None or on_val is None:
        return Sentence(
            "Picked.", [*pieces, " stands first; no score could be computed there to choose by."], "warning"
        )
    pieces += [f" did best ({word} ", on_val.value, ")."]
    if on_test is not None and math.isfinite(on_test.value.value):
        pieces += [f" On test its {word} is ", *_ranged(on_test), "."]
    elif row := look.row(arm, model, "test", metric):
        pieces += [f" On test its {word} is not defined: ", Name(str(row["method"])), "."]
    return Sentence("Picked.", [*pieces, *_at_threshold(record, look, arm, model)])


def _at_threshold(record: Record, look: Lookup, arm: str, model: str) -> list[Any]:
    found, spared = (look.interval(arm, model, "test", name) for name in ("recall", "specificity"))
    if found is None or spared is None or math.isnan(found.value.value) or math.isnan(spared.value.value):
        return []
    if record.task == "binary":
        positive, negative = Name(record.classes[1]), Name(record.classes[0])
        return [
            " At the threshold frozen on validation it finds a share of ", *_ranged(found), " of the ", positive,
            " cases and leaves ", *_ranged(spared), " of the ", negative, " cases alone.",
        ]  # fmt: skip
    what = "labels" if record.task == "multilabel" else "classes"
    if look.rare("test"):
        what += " with enough cases"
    return [
        " At the thresholds frozen on validation its mean sensitivity over the ", what, " is ", *_ranged(found),
        " and its mean specificity ", *_ranged(spared), ".",
    ]  # fmt: skip


def treatments(record: Record, look: Lookup) -> list[Sentence]:
    """One sentence for each arm: in which networks it was better, worse, or not shown to differ."""
    metric = look.primary
    rows = look.verdicts(metric)
    told = []
    for arm in dict.fromkeys(rows["arm"]):
        own = records(rows[rows["arm"] == arm])
        for row in own:
            recipe = (arm, str(row["model"]))
            row |= {"once": _once(record, recipe, _against(record, recipe[1])), "alone": len(rows) == 1}
        one = _treatment(arm, record.baseline, metric, own)
        told.append(Sentence(one.lead, [*one.pieces, *_over_blocks(record, arm)], one.tone))
    return told


def _against(record: Record, model: str) -> tuple[str, str]:
    """The baseline's recipe that an arm with this network is compared with: the same network, or its only one."""
    own = [pair for pair in record.evidence.pairs if pair[0] == record.baseline]
    return (record.baseline, model) if (record.baseline, model) in own else own[0]


def _once(record: Record, *recipes: tuple[str, str]) -> bool:
    """Whether a comparison of the two rests on one training of each."""
    first, second = (record.evidence.trainings(*recipe) for recipe in recipes)
    return len(first & second) == 1


def _over_blocks(record: Record, arm: str) -> list[Any]:
    """What the arm does over all networks and seeds together, where there are enough of them to say."""
    c = record.comparisons
    own = c[(c["arm"] == arm) & (c["model"] == EVERY_MODEL) & c["method"].str.startswith("mixed model")]
    found = [row for row in records(own) if row["verdict"] != "too few cases"]
    if not found:
        return []
    row = found[0]
    told = "no effect is shown" if row["verdict"] == "no difference shown" else f"it is {row['verdict']}"
    where = " Over all networks and trainings together, with the test images as they are, "
    return [where, told, ": ", *_ranged(difference_of(row)), "."]


def _treatment(arm: str, baseline: str, metric: str, rows: list[dict[str, Any]]) -> Sentence:
    pieces: list[Any] = []
    kinds = list(dict.fromkeys(row["verdict"] for row in rows))
    for kind in kinds:
        own = [row for row in rows if row["verdict"] == kind]
        pieces += [" " if pieces else "", *_of_kind(kind, own, baseline, metric, with_names=len(kinds) > 1)]
    return Sentence(f"{arm}.", pieces, "good" if kinds == ["better"] else "plain")


def _of_kind(kind: str, rows: list[dict[str, Any]], baseline: str, metric: str, with_names: bool) -> list[Any]:
    """What is said of the networks with this verdict; they are named when others have another."""
    networks: list[Any] = [" with ", *listed(Name(row["model"]) for row in rows)] if with_names else []
    alike = len(rows) > 1 and not with_names
    if kind in ("better", "worse"):
        where = networks or [" with every network"] if with_names or alike else []
        once = "; over one training of each, another seed may say otherwise" if all(row["once"] for row in rows) else ""
        heading: list[Any] = ["It is ", kind, " than ", Name(baseline), *where, f" in {metric_word(metric)}: "]
        return [*heading, *_named(rows), f"{once}."]
    where = networks or [" with any network"] if with_names or alike else []
    if kind == "no difference shown":
        biggest = max((row["mde"] for row in rows if math.isfinite(row["mde"])), default=math.nan)
        one = "; a true difference of " if rows[0]["alone"] else "; in one comparison alone a true difference of "
        seen = [one, Number(biggest), " would most likely have been seen"] if biggest > 0 else []
        return ["No difference to ", Name(baseline), " is shown", *where, *seen, "."]
    if all(math.isnan(row["difference"]) for row in rows):
        alike = not all(str(row["method"]).startswith(NOT_ALIKE) for row in rows)
        why = "the score is not defined on these rows" if alike else "no training of both read the same test images"
        return ["It could not be compared with ", Name(baseline), *where, f": {why}."]
    return ["There are too few cases to tell it from ", Name(baseline), *where, "."]


def _named(rows: list[dict[str, Any]]) -> list[Any]:
    """The differences, each with its network where there are several."""
    woven: list[Any] = []
    for i, row in enumerate(rows):
        woven += [
            "; " if i else "",
            *([Name(row["model"]), " "] if len(rows) > 1 else []),
            *_ranged(difference_of(row)),
        ]
    return woven


def certainty(record: Record) -> Sentence:
    evidence, level = record.evidence, Setting(f"{100 * record.study.evaluate.confidence:g} %")
    once = [pair for pair in evidence.pairs if len(evidence.trainings(*pair)) == 1]
    pieces: list[Any] = ["Brackets hold ", level, " intervals over the test cases"]
    if evidence.dataset.patient_rule:
        pieces += [", patients drawn with all their images"]
    if len(once) == len(evidence.pairs):
        pieces += [". Each recipe was trained once: what another seed would give is not in them."]
    else:
        pieces += [" and over the trainings of each recipe."]
        if once:
            networks = listed(Name(model) for model in dict.fromkeys(model for _, model in once))
            pieces += [" Where ", *networks, " had one training, what another seed would give is not in the brackets."]
    if len(record.comparisons):
        pieces += [" Every claim is corrected for the number of comparisons (Holm)."]
    return Sentence("How sure.", pieces)


def banners(record: Record) -> list[Banner]:
    """Warnings that every number of the study carries."""
    found = []
    if leaky := record.evidence.leaky:
        found.append(Banner(stamp(record.study, leaky), LEAKY, stop=True))
    codes = {str(one.get("code")) for one in record.audit.get("findings", [])}
    shortcuts = [told for code, told in SHORTCUTS.items() if code in codes]
    if shortcuts:
        found.append(Banner("SHORTCUT", " ".join(text for text, _ in shortcuts), any(stop for _, stop in shortcuts)))
    if not record.evidence.dataset.patient_rule:
        found.append(Banner("PATIENT SEPARATION NOT VERIFIABLE", NO_PATIENTS, stop=False))
    return found


def inherited(record: Record) -> list[Banner]:
    """The banners that the picked trial, hence its bundle, inherits: of leaky arms only its own."""
    own = record.picked["arm"] in record.evidence.leaky
    return [one for one in banners(record) if own or not one.title.startswith(MARK)]


MOST_NETWORKS, MOST_NAMED = 6, 12
LEAKY = (
    "Test images, their duplicates or their patients could reach the training. No number here tells how the models do "
    "on new patients."
)
NO_PATIENTS = (
    "The data do not say which images are of one patient: images of a patient may stand on both sides of the split."
)
SHORTCUTS = {
    "shortcut_metadata": (
        "File facts alone (size, format, compression, names) tell the classes apart: a network can score without "
        "looking at anatomy.", True,
    ),
    "shortcut_border": (
        "The outer frame of the images alone tells the classes apart: a network can score without looking at "
        "anatomy.", True,
    ),
    "source_is_class": (
        "The site goes with the class: what is scored here may be the telling of sites, not of disease.", True,
    ),
    "shortcut_intensity": (
        "Brightness and contrast alone tell the classes apart: some of the score may be exposure, not disease.", False,
    ),
}  # fmt: skip
"""Findings of the audit that every number of the study must carry; whether they stop a reader."""


def tiles(record: Record) -> list[Tile]:
    """The picked arm and model on test, in a few numbers."""
    look, at = Lookup.of(record), record.picked
    arm, model = at["arm"], at["model"]
    shown = [look.primary, "accuracy", "f1", "recall", "specificity"]
    made: list[Tile] = []
    for metric in dict.fromkeys(shown):
        found = look.interval(arm, model, "test", metric)
        if found is None or math.isnan(found.value.value):
            continue
        wide = not made
        name = Name(f"{arm} · {model}") if wide else None
        title = metric_title(metric).split(" (")[0]
        made.append(Tile(f"{title} on test of" if wide else title, found, wide, name))
    return made


def _counted(number: Number, thing: str) -> list[Piece]:
    return [number, f" {thing}" if number.value == 1 else f" {thing}s"]


def _ranged(found: Interval) -> list[Piece]:
    if not found.bounded:
        return [found.value]
    return [found.value, " (", found.low, " to ", found.high, ")"]


def _plain(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value
