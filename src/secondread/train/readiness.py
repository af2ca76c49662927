"""What would refuse a trial when its turn comes, asked of every arm and model before the first of them is trained."""

from __future__ import annotations

from secondread.core.files import read_json
from secondread.core.processors import launched_processes
from secondread.core.spec import Study
from secondread.core.studydir import StudyDir
from secondread.core.tables import Dataset, read_dataset
from secondread.core.trials import Trial, trials
from secondread.models.build import build_classifier
from secondread.models.spec import ModelSpec
from secondread.models.weights import TRIAL, own_trial, statistics_of
from secondread.train.loss_types import LossSpec
from secondread.train.material import policies_for
from secondread.train.objective import without_uncertain_logits
from secondread.train.trial import loss_of, need_fair_shares


def forbid_misfits(study: Study, where: StudyDir) -> None:
    """Raises what the first trial of any arm and model would raise: `WrongRequest` or `Absent`."""
    dataset, channels = read_dataset(where.dataset), int(read_json(where.pixels)["channels"])
    tried: set[tuple[str, str]] = set()
    before: list[str] = []
    for trial in trials(study, where):
        if (trial.arm, trial.model.label) not in tried:
            _try(trial, dataset, channels, where, _weights(trial, where, before))
        tried.add((trial.arm, trial.model.label))
        before.append(trial.name)


def _weights(trial: Trial, where: StudyDir, before: list[str]) -> str:
    """The weights to try: those of a trial that this study trains before it may not be there yet."""
    weights = trial.train.weights
    own = own_trial(weights, where.root) if weights.startswith(TRIAL) else None
    comes = own is not None and any(f"{name}/".startswith(f"{own}/") for name in before)
    return "none" if comes else weights


def _try(trial: Trial, dataset: Dataset, channels: int, where: StudyDir, weights: str) -> None:
    """Make its loss and its network, of which nothing is kept."""
    train, count, policies = trial.train, len(dataset.classes), policies_for(trial, dataset)
    spec = LossSpec(dataset.task, (1.0,) * count, (float(count),) * count, train.label_smoothing)
    loss_of(trial, spec, policies)
    statistics_of(trial.model, weights, normalise=train.normalise, beside=where.root)
    classifier = build_classifier(
        trial.model,
        ModelSpec(count + policies.count("multi_class"), channels, train.size, dataset.task, train.head, True),
        mean=(0.5,),
        std=(0.5,),
        normalise=train.normalise,
        weights=weights,
        seed=trial.seed,
        beside=where.root,
    )
    without_uncertain_logits(classifier, trial.model, count)
    here = train.engine.devices
    need_fair_shares(trial, classifier, max(launched_processes(), 1 if here == "auto" else here))
