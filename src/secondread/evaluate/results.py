"""Everything that follows from the predictions: judged trials, pools, scores, comparisons, the picked trial."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import pandas as pd

from secondread.core.files import write_json
from secondread.core.progress import progress
from secondread.core.spec import Study
from secondread.core.studydir import StudyDir
from secondread.core.tables import COMPARISON_COLUMNS, SCORE_COLUMNS, read_table, write_csv
from secondread.evaluate import blocks, scoring, subsets, versus
from secondread.evaluate.choice import pick
from secondread.evaluate.draws import Draws
from secondread.evaluate.leakage import marked, stamp
from secondread.evaluate.operating import Judged, judge, point_notes, write_points
from secondread.evaluate.pooling import Pool, pool
from secondread.evaluate.predictions import SPLITS, Evidence
from secondread.evaluate.record import Record
from secondread.evaluate.summary import summary_of
from secondread.evaluate.together import read_together, together_rows


@dataclass
class Results:
    """Made by `results`; `notes` say what had to be mended or could not be fitted."""

    study: Study
    where: StudyDir
    evidence: Evidence
    judged: list[Judged]
    notes: list[str] = field(default_factory=list)

    @cached_property
    def draws(self) -> Draws:
        metrics = scoring.metrics_for(self.study, self.evidence.dataset.task)
        return Draws(self.study.evaluate.bootstrap, self.study.evaluate.seed, metrics)

    @cached_property
    def picked(self) -> dict[str, Any]:
        honest = [one for one in self.judged if one.predicted.arm not in self.evidence.leaky]
        if honest and len(honest) < len(self.judged):
            self.notes.append(f"{stamp(self.study, self.evidence.leaky)}: these arms were not picked from.")
        return pick(honest or self.judged, self.study)

    @cached_property
    def together(self) -> list[Judged]:
        """The seeds of each recipe read together, where it has several."""
        return read_together(self.judged, self.evidence.dataset, self.study)

    @property
    def baseline(self) -> str:
        return self.study.evaluate.baseline or next(iter(self.study.arms))

    @cached_property
    def pools(self) -> dict[tuple[str, str, str], Pool]:
        """(arm, model, split) → its trials together."""
        return {
            (arm, model, split): pool([one for one in self.judged if one.pair == (arm, model)], split, self.draws)
            for arm, model in self.evidence.pairs
            for split in SPLITS
        }

    @cached_property
    def scores(self) -> pd.DataFrame:
        rows = scoring.cohort_rows(self.judged)
        with progress("evaluate: scores", len(SPLITS) * len(self.judged), "tables") as shown:
            for one in self.judged:
                for split in SPLITS:
                    rows += scoring.trial_rows(one, split, self.draws, self.study)
                    shown.advance()
        of_trials = scoring.table(rows)
        for each in self.pools.values():
            rows += scoring.pool_rows(each, of_trials, self.study)
        rows += together_rows(self.together, self.draws, self.study)
        return marked(scoring.table(rows + self._about_the_picked(rows)), self.evidence.leaky, ["arm"])

    @cached_property
    def comparisons(self) -> pd.DataFrame:
        on_test = {(arm, model): one for (arm, model, split), one in self.pools.items() if split == "test"}
        rows = versus.against_baseline(on_test, self.baseline, self.study)
        rows += versus.between_models(on_test, self.study)
        rows += blocks.fold_rows(self.judged, self.baseline, self._splits(), self.study)
        rows += blocks.block_rows(self.judged, self.baseline, self.study)
        return marked(versus.table(rows), self.evidence.leaky, ["arm", "baseline"])

    def write(self) -> None:
        """operating.json, scores.csv, comparisons.csv, summary.json."""
        write_points([*self.judged, *self.together], self.where)
        write_csv(self.scores, self.where.scores, SCORE_COLUMNS)
        write_csv(self.comparisons, self.where.comparisons, COMPARISON_COLUMNS)
        told = {"picked": self.picked, "notes": self.notes}
        record = Record(self.study, self.where, self.evidence, self.judged, self.scores, self.comparisons, told)
        write_json(self.where.summary, summary_of(record) | {"notes": self.notes})

    def _about_the_picked(self, scored: list[scoring.Row]) -> list[scoring.Row]:
        """Subgroups, shift, prevalence: of the picked trial, and subgroups of the baseline with the same network."""
        one = next(one for one in self.judged if _is(one, self.picked))
        known, draws, study = self._rows(), self.draws, self.study
        subjects = {arm: self._subject(arm) for arm in (self.picked["arm"], self.baseline)}
        found = subsets.subgroup_rows([s for s in subjects.values() if s is not None], known, draws, study)
        if study.evaluate.left_out:
            found += subsets.left_out_rows(one, known, self.evidence.dataset, draws, study)
        found += subsets.band_rows(one, draws, study)
        found += subsets.external_rows(self.judged, self.where, draws, study, self.notes)
        return found + subsets.prevalence_rows(one, scored, study)

    def _subject(self, arm: str) -> subsets.Subject | None:
        """The member of the arm's pool that the picked trial belongs to, or stands beside."""
        at = self.picked
        keys = [(at["repeat"], fold, at["seed"]) for fold in (at["fold"], -1)]
        own = self.pools.get((arm, at["model"], "test"))
        for member in own.members if own else []:
            if member.key in keys:
                return subsets.Subject(arm, at["model"], member.rows, member.cases)
        return None

    def _rows(self) -> pd.DataFrame:
        if not self.where.clean_rows.exists():
            return pd.DataFrame(columns=["row_id"]).set_index("row_id")
        return read_table(self.where.clean_rows).drop_duplicates("row_id").set_index("row_id", drop=False)

    def _splits(self) -> pd.DataFrame:
        there = self.where.splits.exists()
        return read_table(self.where.splits) if there else pd.DataFrame(columns=["repeat", "fold", "split"])


def results(evidence: Evidence, study: Study, where: StudyDir) -> Results:
    """Operating points fitted on validation; scores and comparisons follow when they are asked for."""
    scoring.need_primary(study, evidence.dataset.task)
    judged = judge(evidence, study)
    return Results(study, where, evidence, judged, evidence.notes + point_notes(judged))


def _is(one: Judged, picked: dict[str, Any]) -> bool:
    trial = one.predicted.trial
    place = (trial.arm, trial.model.label, trial.repeat, trial.fold, trial.seed)
    return place == tuple(picked[name] for name in ("arm", "model", "repeat", "fold", "seed"))
