"""A training that two processes share, whole and killed within an epoch; its second argument says where to tell."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch
from torch import Tensor, nn

from secondread.learning import loop
from secondread.learning.checkpoints import load_weights, save_weights
from secondread.learning.devices import machine
from secondread.learning.lesson import Course, Lesson, Pace
from secondread.learning.loop import fit
from secondread.learning.optimisers import adamw
from secondread.learning.schedules import constant

PLACE = machine()
DIES_AT = 6


class Learner(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(72, 2))

    def forward(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        logits = self.net(images)
        return nn.functional.cross_entropy(logits, labels), (logits.argmax(1) == labels).float().mean()


class Killed(Exception):
    pass


def batch(step: int) -> tuple[Tensor, Tensor]:
    """Each process has images of its own, of another brightness."""
    chance = torch.Generator().manual_seed(1000 * PLACE.rank + step)
    images = torch.randn(4, 1, 8, 8, generator=chance) + 3 * PLACE.rank
    return images.to(PLACE.device), (images.mean(dim=(1, 2, 3)) > 1.5).long().to(PLACE.device)


def validated(learner: Learner) -> float:
    """The loss on images that all processes have."""
    chance = torch.Generator().manual_seed(5)
    with torch.no_grad():
        logits = learner.net(torch.randn(6, 1, 8, 8, generator=chance).to(PLACE.device)).cpu()
    return float(nn.functional.cross_entropy(logits, torch.tensor([0, 1] * 3)))


def trained(folder: Path, dies_at: int | None, ema: float = 0.0) -> Course:
    learner = Learner()
    optimiser = adamw(learner.parameters(), lr=0.05)

    def supply(step: int) -> tuple[Tensor, Tensor]:
        if step == dies_at:
            raise Killed
        return batch(step)

    lesson = Lesson("shared", learner, supply, optimiser, constant(optimiser, 8),
                    lambda: {"val_loss": validated(learner)},
                    lambda: save_weights(folder / "best", learner.state_dict()))  # fmt: skip
    return fit(lesson, Pace(8, 4, seed=0, ema=ema), PLACE, folder / "checkpoint", "key")


def of_the_kept(folder: Path) -> float:
    kept = Learner().to(PLACE.device).eval()
    load_weights(folder / "best", kept)
    return validated(kept)


if __name__ == "__main__":
    root = Path(sys.argv[1])
    whole, averaged = trained(root / "whole", None), trained(root / "averaged", None, ema=0.9)
    loop.SAVE_SECONDS = 0.0
    try:
        trained(root / "killed", DIES_AT)
    except Killed:
        PLACE.wait()
    resumed = trained(root / "killed", None)
    told = {
        "waits": torch.distributed.group.WORLD._get_backend(PLACE.device).options._timeout.total_seconds(),
        "whole": whole.history,
        "resumed": resumed.history,
        "best": [whole.best, averaged.best],
        "kept": [of_the_kept(root / "whole"), of_the_kept(root / "averaged")],
    }
    (root / f"told-{PLACE.rank}.json").write_text(json.dumps(told))
    torch.distributed.destroy_process_group()
