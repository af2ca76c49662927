"""Devices: what the environment and the study file ask for."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from secondread.core.errors import WrongRequest
from secondread.core.processors import launched_processes
from secondread.core.spec import Engine
from secondread.images.batches import Stack
from secondread.learning import devices
from secondread.learning.devices import machine, tune_allocator
from secondread.learning.inference import EVALUATION_BATCH, outputs_of


def test_one_process_on_the_cpu_is_deterministic() -> None:
    place = machine()
    assert (place.rank, place.world, place.is_main) == (0, 1, True)
    assert place.device.type in ("cpu", "cuda")
    assert torch.are_deterministic_algorithms_enabled() or place.on_gpu


def test_a_second_training_may_ask_for_another_precision() -> None:
    assert machine(Engine(precision="bf16")).accelerator.mixed_precision == "bf16"
    assert machine(Engine(precision="fp32")).accelerator.mixed_precision == "no"


@pytest.mark.skipif(not Path("/proc/cpuinfo").exists(), reason="only Linux tells what its processor can")
def test_the_processor_says_itself_whether_it_multiplies_bfloat16() -> None:
    flags = set(Path("/proc/cpuinfo").read_text().split())
    assert devices.multiplies_bf16() is bool(flags & {"avx512_bf16", "amx_bf16"})


@pytest.mark.parametrize(("capable", "chosen"), [(True, "bf16"), (False, "no")])
def test_a_processor_that_multiplies_bfloat16_trains_in_it(
    monkeypatch: pytest.MonkeyPatch, capable: bool, chosen: str
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(devices, "multiplies_bf16", lambda: capable)
    assert machine().accelerator.mixed_precision == chosen


@pytest.mark.skipif(torch.cuda.is_available(), reason="about processors; autocast knows that there is a GPU")
@pytest.mark.parametrize(("groups", "precision", "half"), [(1, "auto", True), (8, "auto", False), (8, "bf16", True)])
def test_depthwise_convolutions_stay_exact_unless_told(
    monkeypatch: pytest.MonkeyPatch, groups: int, precision: Any, half: bool
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(devices, "multiplies_bf16", lambda: True)
    place, network = machine(Engine(precision=precision)), torch.nn.Conv2d(8, 8, 3, groups=groups)
    place.choose_precision(network)
    with place.accelerator.autocast():
        assert (network(torch.ones(1, 8, 4, 4)).dtype == torch.bfloat16) is half


def test_half_precision_without_a_gpu_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(WrongRequest, match="fp16 needs a GPU; use fp32 or bf16"):
        machine(Engine(precision="fp16"))


def test_threads_are_as_asked_and_are_nothing_to_the_next_training() -> None:
    own = torch.get_num_threads()
    for asked, given in (("auto", own), (own + 1, own + 1), (own + 2, own + 2), ("auto", own), ("auto", own)):
        machine(Engine.model_validate({"threads": asked}))
        assert torch.get_num_threads() == given


@pytest.mark.parametrize(("gpus", "local"), [(0, "1"), (1, "0"), (4, "1")])
def test_slurm_is_read_like_torchrun(monkeypatch: pytest.MonkeyPatch, gpus: int, local: str) -> None:
    """With no GPU, with one that each process is shown alone, and with all of the node's before every process."""
    monkeypatch.setattr("torch.cuda.is_available", lambda: gpus > 0)
    monkeypatch.setattr("torch.cuda.device_count", lambda: gpus)
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    given = {"SLURM_NTASKS": "8", "SLURM_STEP_NUM_TASKS": "4", "SLURM_PROCID": "3", "SLURM_LOCALID": "1",
             "SLURM_STEP_NODELIST": "gpu[03-05,9]", "SLURM_JOB_ID": "12345", "SLURM_STEP_ID": "2"}  # fmt: skip
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    assert launched_processes() == 4
    devices._processes_from_slurm()
    found = {name: os.environ.pop(name) for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")}
    assert found == {"RANK": "3", "WORLD_SIZE": "4", "LOCAL_RANK": local, "MASTER_ADDR": "gpu03",
                     "MASTER_PORT": "32547"}  # fmt: skip


def test_the_script_of_a_job_of_several_tasks_waits_for_no_others(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RANK", "WORLD_SIZE", "SLURM_STEP_NUM_TASKS"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {"SLURM_NTASKS": "8", "SLURM_PROCID": "0", "SLURM_LOCALID": "0"}.items():
        monkeypatch.setenv(name, value)
    assert launched_processes() == 1
    devices._processes_from_slurm()
    assert "RANK" not in os.environ


@pytest.mark.parametrize(
    ("nodes", "first"),
    [
        ("gpu7", "gpu7"),
        ("gpu[03-05,9],cpu1", "gpu03"),
        ("a,b", "a"),
        ("rack[1,2]-n,x", "rack1-n"),
        ("10.0.0.7", "10.0.0.7"),
    ],
)
def test_process_0_is_met_on_the_first_node(nodes: str, first: str) -> None:
    assert devices.first_host(nodes) == first


def test_the_allocator_takes_its_settings_where_glibc_is() -> None:
    assert isinstance(tune_allocator(), bool)


def test_outputs_come_in_the_order_of_the_places_in_equal_batches() -> None:
    images = np.arange(200 * 4, dtype=np.uint8).reshape(200, 2, 2)
    seen: list[int] = []

    def network(inputs: Tensor) -> Tensor:
        seen.append(len(inputs))
        return inputs.float().mean(dim=(1, 2, 3))[:, None]

    places = np.array([199, 0, 5] * 30)
    found = outputs_of(network, Stack([images]), places, machine())
    np.testing.assert_allclose(found[:, 0], images[places].mean(axis=(1, 2)))
    assert seen == [EVALUATION_BATCH, 90 - EVALUATION_BATCH]


def test_naming_the_devices_imports_no_accelerate() -> None:
    """Accelerate is slow to import: whoever only reads settings does not pay for it."""
    program = "import sys, secondread.learning.devices; sys.exit('accelerate' in sys.modules)"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    assert subprocess.run([sys.executable, "-c", program], env=environment, check=False).returncode == 0
