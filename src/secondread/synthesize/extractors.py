"""Feature extractors that judge generated images: each has a name, a hash of its weights and a dimension.

`task` is a small network that `synthesize` trains once per fold on that fold's training rows: always there, offline.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from secondread.core.errors import Absent, WrongRequest
from secondread.core.files import sha256_of_bytes, sha256_of_file
from secondread.learning.checkpoints import load_weights
from secondread.models.statedict import read_state

Floats = NDArray[np.float64]
TASK_STEPS, TASK_BATCH, TASK_WIDTH = 250, 48, 16


@dataclass(frozen=True)
class Extractor:
    """uint8 [N, H, W] or [N, H, W, 3] → features [N, D]."""

    name: str
    sha256: str
    dimension: int
    run: Callable[[Tensor], Tensor]

    def __call__(self, images: NDArray[np.uint8], batch: int = 128) -> Floats:
        with torch.inference_mode():
            parts = [self.run(_planes(images[start : start + batch])) for start in range(0, len(images), batch)]
        return torch.cat(parts).double().cpu().numpy()


class TaskNetwork(nn.Module):
    """Four stages of two 3×3 convolutions; the pooled last stage (8 × width values) is the feature."""

    def __init__(self, channels: int, classes: int, width: int = TASK_WIDTH) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        before = channels
        for stage in range(4):
            after = width * 2**stage
            layers += [nn.Conv2d(before, after, 3, 2, 1, bias=False), nn.BatchNorm2d(after), nn.ReLU(True)]
            layers += [nn.Conv2d(after, after, 3, 1, 1, bias=False), nn.BatchNorm2d(after), nn.ReLU(True)]
            before = after
        self.body = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.head = nn.Linear(before, classes)

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.head(self.features(images))
        return logits

    def features(self, images: Tensor) -> Tensor:
        made: Tensor = self.body(images.float() / 127.5 - 1.0)
        return made


def train_task_network(
    images: NDArray[np.uint8], labels: NDArray[np.float32], seed: int, steps: int = TASK_STEPS
) -> TaskNetwork:
    """Fit the `task` network on training images; labels [N, K] with NaN where unknown."""
    torch.manual_seed(seed)
    network = _task_network(images, labels)
    optimiser = torch.optim.AdamW(network.parameters(), lr=2e-3, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 2e-3, total_steps=steps)
    draws = np.random.default_rng(seed)
    for _ in range(steps):
        index = np.sort(draws.integers(0, len(images), TASK_BATCH))
        truth = torch.from_numpy(labels[index])
        known = torch.isfinite(truth) & (truth >= 0)
        logits = network(_planes(images[index]))
        loss = F.binary_cross_entropy_with_logits(logits, torch.where(known, truth, 0.0), weight=known.float())
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        schedule.step()
    return network.eval()


def load_task_network(weights: Path, images: NDArray[np.uint8], labels: NDArray[np.float32]) -> TaskNetwork:
    """The network that `train_task_network` made of such images and labels; raises `BadData` when it is another's."""
    network = _task_network(images, labels)
    load_weights(weights, network)
    return network.eval()


def _task_network(images: NDArray[np.uint8], labels: NDArray[np.float32]) -> TaskNetwork:
    return TaskNetwork(1 if images.ndim == 3 else 3, labels.shape[1])


def task_extractor(network: TaskNetwork) -> Extractor:
    weights = b"".join(value.numpy().tobytes() for value in network.state_dict().values())
    return Extractor("task", sha256_of_bytes(weights), network.head.in_features, network.features)


def named_extractor(name: str, weights: Path | None) -> Extractor:
    """`inception` or `timm/<name>` with weights from a file. Raises `Absent` when the file or the extra is missing."""
    if weights is None or not weights.is_file():
        raise Absent(
            f"the extractor {name!r} needs its weights: put the file somewhere and name it under "
            f"synthesize.extractor_weights: {{{name}: PATH}}; without it use `extractors: [task]`"
        )
    if name == "inception":
        return _inception(weights)
    if name.startswith("timm/"):
        return _timm(name, weights)
    raise WrongRequest(f"synthesize.extractors: no extractor {name!r}. Valid: task, inception, timm/<name>")


def _inception(weights: Path) -> Extractor:
    """The Inception-v3 of the FID literature (2048 features), as the extra `[fid]` holds it."""
    try:
        from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
    except ImportError as error:
        raise Absent("the extractor 'inception' needs the extra: pip install 'secondread[fid]'") from error
    with tempfile.TemporaryDirectory() as folder:
        # torch-fidelity unpickles the file it is given, so it gets one that we wrote from tensors we loaded safely
        safe = Path(folder) / "inception.pth"
        torch.save(read_state(weights), safe)
        network = FeatureExtractorInceptionV3("inception-v3-compat", ["2048"], feature_extractor_weights_path=str(safe))
    network.eval()
    return Extractor("inception", sha256_of_file(weights), 2048, lambda images: network(_rgb(images).byte())[0])


def _timm(name: str, weights: Path) -> Extractor:
    import timm

    network = timm.create_model(name.removeprefix("timm/"), pretrained=False, num_classes=0)
    wanted = network.state_dict()
    fitting = {key: value for key, value in read_state(weights).items() if key in wanted}
    if lacking := [key for key in wanted if key not in fitting or fitting[key].shape != wanted[key].shape]:
        raise WrongRequest(
            f"{weights} does not hold the weights of {name}: {lacking[0]} is missing or of another shape"
        )
    network.load_state_dict(fitting)
    network.eval()
    mean = torch.tensor(network.pretrained_cfg["mean"])[:, None, None]
    std = torch.tensor(network.pretrained_cfg["std"])[:, None, None]
    side = network.pretrained_cfg["input_size"][1]

    def run(images: Tensor) -> Tensor:
        big = F.interpolate(_rgb(images).float() / 255, (side, side), mode="bicubic", antialias=True)
        features: Tensor = network((big - mean) / std)
        return features

    return Extractor(name, sha256_of_file(weights), network.num_features, run)


def _planes(images: NDArray[np.uint8]) -> Tensor:
    tensor = torch.from_numpy(np.ascontiguousarray(images))
    return tensor[:, None] if tensor.ndim == 3 else tensor.permute(0, 3, 1, 2)


def _rgb(images: Tensor) -> Tensor:
    return images.expand(-1, 3, -1, -1) if images.shape[1] == 1 else images
