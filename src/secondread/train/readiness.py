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
from secondread.models.weights import TRIAL
from secondread.train.loss_types import LossSpec
from secondread.train.material import policies_for
from secondread.train.trial import loss_of, need_two_images


def forbid_misfits(study: Study, where: StudyDir) -> None:
    """Raises what the first trial of any arm and model would raise: `WrongRequest` or `Absent`."""
    dataset, channels = read_dataset(where.dataset), int(read_json(where.pixels)["channels"])
    for trial in {(one.arm, one.model.label): one for one in trials(study, where)}.values():
        _try(trial, dataset, channels, where)


def _try(trial: Trial, dataset: Dataset, channels: int, where: StudyDir) -> None:
    """Make its loss and its network, of which nothing is kept. Another trial's weights may be trained only now."""
    train, count, policies = trial.train, len(dataset.classes), policies_for(trial, dataset)
    spec = LossSpec(dataset.task, (1.0,) * count, (float(count),) * count, train.label_smoothing)
    loss_of(trial, spec, policies)
    weights = "none" if train.weights.startswith(TRIAL) else train.weights
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
    here = train.engine.devices
    need_two_images(trial, classifier, max(launched_processes(), 1 if here == "auto" else here))
