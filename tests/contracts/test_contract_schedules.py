"""Every registered schedule starts, stays within the learning rate of each group, and goes on after a stop."""

from __future__ import annotations

import pytest
import torch

from secondread.core.registry import find, parts, resolve
from secondread.core.spec import ref
from secondread.learning.schedules import Schedule, per_evaluation

NAMES = list(parts("schedules"))
STEPS = 40


def optimiser() -> torch.optim.Optimizer:
    groups = [{"params": [torch.nn.Parameter(torch.ones(2))], "lr": lr} for lr in (0.1, 0.01)]
    return torch.optim.SGD(groups, lr=0.1)


def rates(schedule: Schedule, steps: int, loss: float = 1.0) -> list[list[float]]:
    found = []
    for _ in range(steps):
        found.append([float(group["lr"]) for group in schedule.optimizer.param_groups])
        schedule.optimizer.step()
        schedule.step(loss) if per_evaluation(schedule) else schedule.step()  # type: ignore[arg-type, call-arg]
    return found


@pytest.mark.parametrize("name", NAMES)
def test_rates_stay_between_nothing_and_the_groups_own(name: str) -> None:
    found = torch.tensor(rates(resolve("schedules", ref(name))(optimiser(), STEPS), STEPS), dtype=torch.float64)
    assert (found >= 0).all()
    assert (found[:, 0] <= 0.1 + 1e-12).all()
    torch.testing.assert_close(found[:, 0], 10 * found[:, 1])
    assert found[:, 0].max() > 0.09


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("steps", [1, 2])
def test_the_shortest_training_has_a_rate(name: str, steps: int) -> None:
    assert all(rate[0] >= 0 for rate in rates(resolve("schedules", ref(name))(optimiser(), steps), steps))


@pytest.mark.parametrize("name", NAMES)
def test_it_goes_on_after_a_stop(name: str) -> None:
    whole = rates(resolve("schedules", ref(name))(optimiser(), STEPS), STEPS)
    before = resolve("schedules", ref(name))(optimiser(), STEPS)
    first = rates(before, 15)
    after_optimiser = optimiser()
    after = resolve("schedules", ref(name))(after_optimiser, STEPS)
    after_optimiser.load_state_dict(before.optimizer.state_dict())
    after.load_state_dict(before.state_dict())
    assert first + rates(after, STEPS - 15) == whole


@pytest.mark.parametrize("name", NAMES)
def test_it_has_a_summary(name: str) -> None:
    assert find("schedules", name).summary.endswith(".")


def test_one_cycle_is_torchs() -> None:
    ours = rates(resolve("schedules", ref("one_cycle"))(optimiser(), STEPS), STEPS)
    theirs_optimiser = optimiser()
    theirs = torch.optim.lr_scheduler.OneCycleLR(
        theirs_optimiser, max_lr=[0.1, 0.01], total_steps=STEPS, cycle_momentum=False
    )
    found = []
    for _ in range(STEPS):
        found.append([float(group["lr"]) for group in theirs_optimiser.param_groups])
        theirs_optimiser.step()
        theirs.step()
    torch.testing.assert_close(torch.tensor(ours), torch.tensor(found), rtol=1e-6, atol=1e-12)


def test_plateau_waits_for_the_validation_loss() -> None:
    found = rates(resolve("schedules", ref("plateau", patience=1, factor=0.5))(optimiser(), STEPS), 6, loss=1.0)
    assert [rate[0] for rate in found] == [0.1, 0.1, 0.1, 0.05, 0.05, 0.025]


def test_cosine_warms_up_then_falls_to_its_end() -> None:
    found = [rate[0] for rate in rates(resolve("schedules", ref("cosine", warm_up=0.1, end=0.5))(optimiser(), 40), 41)]
    assert found[:4] == pytest.approx([0.025, 0.05, 0.075, 0.1])
    assert found[4:] == sorted(found[4:], reverse=True)
    assert found[40] == pytest.approx(0.05)
