"""The difficulty ladder: a linear model must fail where a small convolutional network succeeds."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn

from secondread.images.phantom import PhantomSpec, generate

SIZE, IMAGES, EPOCHS, BATCH = 64, 1200, 14, 32
Arrays = tuple[NDArray[np.float32], NDArray[np.int64]]


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def _halves(preset: str) -> tuple[Arrays, Arrays]:
    """Standardised images [N, S, S] and truth [N, K] of 70 % and of 30 % of the patients."""
    drawn = list(generate(PhantomSpec(preset, IMAGES, size=SIZE)))
    images = np.stack([one.image for one in drawn]).astype(np.float32)
    truth = np.array([list(one.truth.values()) for one in drawn])
    train = np.array([one.patient for one in drawn]) < drawn[int(0.7 * IMAGES)].patient
    images = (images - images[train].mean()) / images[train].std()
    return (images[train], truth[train]), (images[~train], truth[~train])


def _linear(train: Arrays, test: Arrays) -> float:
    """28 × 28 block means, standardised, 60 principal components, logistic regression with C = 0.1."""
    edges = np.linspace(0, SIZE, 29).astype(int)[:-1]

    def blocks(images: NDArray[np.float32]) -> NDArray[np.float64]:
        sums = np.add.reduceat(np.add.reduceat(images.astype(float), edges, 1), edges, 2)
        counts = np.add.reduceat(np.add.reduceat(np.ones((SIZE, SIZE)), edges, 0), edges, 1)
        return np.asarray((sums / counts).reshape(len(images), -1))

    features = make_pipeline(StandardScaler(), PCA(60, random_state=0))
    seen, unseen = features.fit_transform(blocks(train[0])), features.transform(blocks(test[0]))
    scores = []
    for known, true in zip(train[1].T, test[1].T, strict=True):
        model = LogisticRegression(C=0.1, max_iter=2000).fit(seen, known)
        scores.append(roc_auc_score(true, model.decision_function(unseen)))
    return float(np.mean(scores))


class _Small(nn.Module):
    """Four blocks of two convolutions, 12 to 96 channels, global maximum, linear."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        before = 1
        for width in (12, 24, 48, 96):
            layers += [nn.Conv2d(before, width, 3, 2, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
            groups = 4 if width == 96 else 1
            layers += [nn.Conv2d(width, width, 3, 1, 1, bias=False, groups=groups), nn.BatchNorm2d(width), nn.ReLU()]
            before = width
        self.body, self.head = nn.Sequential(*layers), nn.Linear(before, classes)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return torch.as_tensor(self.head(self.body(images).amax((2, 3))))


def _network(train: Arrays, test: Arrays) -> float:
    torch.manual_seed(0)
    draw = np.random.default_rng(0)
    images, truth = torch.from_numpy(train[0])[:, None], torch.from_numpy(train[1].astype(np.float32))
    model = _Small(truth.shape[1])
    optimiser = torch.optim.AdamW(model.parameters(), 4e-3, weight_decay=1e-2)
    rounds = len(images) // BATCH
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 4e-3, total_steps=EPOCHS * rounds)
    for _ in range(EPOCHS):
        order = torch.from_numpy(draw.permutation(len(images)))
        for i in range(rounds):
            chosen = order[i * BATCH : (i + 1) * BATCH]
            batch = images[chosen].roll([int(v) for v in draw.integers(-3, 4, 2)], (2, 3))
            loss = nn.functional.binary_cross_entropy_with_logits(model(batch), truth[chosen])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
    model.eval()
    with torch.no_grad():
        logits = torch.cat([model(part) for part in torch.from_numpy(test[0])[:, None].split(100)]).numpy()
    return float(np.mean([roc_auc_score(true, logit) for true, logit in zip(test[1].T, logits.T, strict=True)]))


def test_a_linear_model_stays_under_085_where_a_small_network_passes_it() -> None:
    train, test = _halves("cxr-multilabel")
    linear, network = _linear(train, test), _network(train, test)
    assert 0.6 < linear < 0.85 < network
