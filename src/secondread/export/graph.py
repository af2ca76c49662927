"""The graph of a bundle as a torch module: uint8 images in; logits, probabilities, features and heatmaps out."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from secondread.core.tables import Task
from secondread.export.grad_cam_head import GradCamHead, NoExactMap
from secondread.models.classifier import Classifier


class Calibrated(nn.Module):
    """Logits [N,K] → calibrated probabilities: logits · scale + offset, then softmax, or sigmoid for labels.

    `scale` and `offset` [K] are those of `metrics.calibration.OperatingPoint`: prior correction, temperature or Platt.
    """

    scale: Tensor
    offset: Tensor

    def __init__(self, task: Task, scale: Sequence[float], offset: Sequence[float]) -> None:
        super().__init__()
        self.task = task
        self.register_buffer("scale", torch.tensor(scale, dtype=torch.float32))
        self.register_buffer("offset", torch.tensor(offset, dtype=torch.float32))

    def forward(self, logits: Tensor) -> Tensor:
        calibrated = logits * self.scale + self.offset
        return torch.sigmoid(calibrated) if self.task == "multilabel" else torch.softmax(calibrated, 1)


class ReadingGraph(nn.Module):
    """One trial, or several of one architecture whose logits are averaged; every output is of the mean logit.

    Features of several trials stand one after another; their heatmaps are averaged.
    """

    def __init__(self, members: Sequence[Classifier], calibrated: Calibrated, size: int, channels: int) -> None:
        super().__init__()
        self.members = nn.ModuleList(members).eval()
        self.calibrated = calibrated
        self.no_heatmaps = ""
        shape = maps_shape(members[0], size, channels)
        try:
            self.heads: nn.ModuleList | None = nn.ModuleList([GradCamHead(member, shape) for member in members])
        except NoExactMap as why:
            self.heads, self.no_heatmaps = None, str(why)

    @property
    def outputs(self) -> list[str]:
        return ["logits", "probabilities", "features", *(["heatmaps"] if self.heads is not None else [])]

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """[N,C,H,W] uint8 → logits [N,K], probabilities [N,K], features [N,F], heatmaps [N,K,h,w]."""
        if self.heads is None:
            told = [self._without_maps(member, image) for member in self.members]
        else:
            pairs = zip(self.heads, self.members, strict=True)
            told = [head(member.feature_maps(image)) for head, member in pairs]  # type: ignore[operator]
        features = torch.cat([item[0] for item in told], 1)
        logits, *heat = [torch.stack([item[at] for item in told]).mean(0) for at in range(1, len(told[0]))]
        return logits, self.calibrated(logits), features, *heat

    def _without_maps(self, member: nn.Module, image: Tensor) -> tuple[Tensor, ...]:
        assert isinstance(member, Classifier)
        features = member.features(image)
        return features, member.logits_from_features(features)


@torch.no_grad()
def maps_shape(classifier: Classifier, size: int, channels: int) -> tuple[int, int, int]:
    """(C, h, w) of the CAM layer's maps."""
    maps = classifier.eval().feature_maps(torch.zeros(1, channels, size, size, dtype=torch.uint8))
    return tuple(maps.shape[1:])  # type: ignore[return-value]
