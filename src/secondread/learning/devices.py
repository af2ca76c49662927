"""Where training runs: device, precision, processes, threads and the allocator, through Accelerate."""

from __future__ import annotations

import ctypes
import functools
import gc
import os
import platform
import re
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import torch
import torch.utils.deterministic

from secondread.core.errors import BadData, WrongRequest
from secondread.core.processors import SLURM_TASKS
from secondread.core.spec import Engine

if TYPE_CHECKING:
    from accelerate import Accelerator

MMAP_MAX, TRIM_THRESHOLD = -4, -1  # glibc's M_MMAP_MAX and M_TRIM_THRESHOLD
KEEP_ALL = 2**31 - 1
PATIENCE = 24 * 3600
"""Seconds that processes wait for the first one, which may wait for another command or fill a cache; torch would give
up after ten minutes. Where one of them dies, whoever started them ends the others."""
_OWN_THREADS: list[int] = []
"""Torch's own choice, as long as a study has named another."""


@dataclass(frozen=True)
class Machine:
    """The device of this process and its place among the processes of one training."""

    accelerator: Accelerator
    compiled: bool = False
    may_choose: bool = False
    """Whether the precision was left to us, on a processor that multiplies bfloat16."""

    @property
    def device(self) -> torch.device:
        device: torch.device = self.accelerator.device
        return device

    @property
    def rank(self) -> int:
        return int(self.accelerator.process_index)

    @property
    def world(self) -> int:
        return int(self.accelerator.num_processes)

    @property
    def is_main(self) -> bool:
        return bool(self.accelerator.is_main_process)

    @property
    def on_gpu(self) -> bool:
        return self.device.type != "cpu"

    @property
    def precision(self) -> str:
        """fp32, or the short format that products are taken in: bf16 or fp16."""
        chosen = str(self.accelerator.mixed_precision)
        handler = self.accelerator.autocast_handler
        return "fp32" if chosen == "no" or (handler is not None and not handler.enabled) else chosen

    def choose_precision(self, network: torch.nn.Module) -> None:
        """Train this network in float32 where bfloat16 would be slower: oneDNN lacks a fast backward pass for
        depthwise convolutions (EfficientNet at 64 px: 79 images/s against 180 on one core)."""
        if self.may_choose:
            from accelerate.utils import AutocastKwargs

            self.accelerator.autocast_handler = AutocastKwargs(enabled=not _has_depthwise(network))

    def gathered(self, tensor: torch.Tensor) -> torch.Tensor:
        """The tensors of all processes, one after the other along the first axis."""
        joined: torch.Tensor = self.accelerator.gather(tensor)
        return joined

    def mean_of_processes(self, tensor: torch.Tensor) -> torch.Tensor:
        """The mean of the tensors of all processes, the same in each."""
        mean: torch.Tensor = self.accelerator.reduce(tensor, "mean")
        return mean

    def any_says(self, yes: bool) -> bool:
        """Whether any process says yes; all of them must ask."""
        return bool(self.mean_of_processes(torch.tensor(float(yes), device=self.device)) > 0)

    def take_buffers_of_the_first(self, network: torch.nn.Module) -> None:
        """Give every process the buffers of the first one: each has statistics of its own share of the last batch."""
        if self.world > 1:
            from accelerate.utils import broadcast

            broadcast(list(network.buffers()))

    def wait(self) -> None:
        self.accelerator.wait_for_everyone()

    def main_first(self) -> AbstractContextManager[None]:
        """Within the block the first process goes ahead: what it puts on disk the others find."""
        first: AbstractContextManager[None] = self.accelerator.main_process_first()
        return first


def machine(engine: Engine | None = None) -> Machine:
    """The machine that `engine` and the environment (torchrun, SLURM, or one process) name.

    Raises `WrongRequest` for a precision the device does not have.
    """
    from accelerate import Accelerator, InitProcessGroupKwargs
    from accelerate.state import AcceleratorState

    engine = engine or Engine()
    _processes_from_slurm()
    on_gpu = torch.cuda.is_available()
    precision = _precision(engine, on_gpu)
    _deterministic()
    spare_the_collector()
    set_threads(engine)
    if AcceleratorState._shared_state and AcceleratorState().mixed_precision != precision:
        AcceleratorState._reset_state()
    if not on_gpu:
        tune_allocator()
        flush_denormals()
    patient = InitProcessGroupKwargs(timeout=timedelta(seconds=PATIENCE))
    accelerator = Accelerator(cpu=not on_gpu, mixed_precision=precision, kwargs_handlers=[patient])
    may_choose = engine.precision == "auto" and precision == "bf16" and not on_gpu
    return Machine(accelerator, engine.compile is True, may_choose)


def set_threads(engine: Engine) -> None:
    """Give torch its threads: as many as named, else torch's own choice (OMP_NUM_THREADS or one per core).

    The number decides how sums are split and so the last bits of every result: it never depends on load, nor on what
    an arm or a study before this one has named.
    """
    if engine.threads != "auto":
        if not _OWN_THREADS:
            _OWN_THREADS.append(torch.get_num_threads())
        torch.set_num_threads(engine.threads)
    elif _OWN_THREADS:
        torch.set_num_threads(_OWN_THREADS.pop())


@functools.cache
def tune_allocator() -> bool:
    """Keep freed activations in the heap instead of handing pages back at every step; True where glibc took it.

    The next step wants the same sizes again; without this each step pays for fresh pages.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    libc: Any = ctypes.CDLL(None)
    return bool(libc.mallopt(MMAP_MAX, 0)) and bool(libc.mallopt(TRIM_THRESHOLD, KEEP_ALL))


@functools.cache
def spare_the_collector() -> None:
    """Let garbage collections pass over what is imported: half a second after every training, and never garbage."""
    gc.collect()
    gc.freeze()


def flush_denormals() -> bool:
    """Take numbers below 1e-38 as zero; True where the processor can.

    A critic with clipped weights is full of them, and each costs a hundred times an ordinary one. Threads take the
    setting from the thread that starts them, so this must come before the first large tensor.
    """
    return torch.set_flush_denormal(True)


@functools.cache
def multiplies_bf16() -> bool:
    """Whether the processor has instructions for bfloat16: elsewhere it is emulated, slower than float32."""
    has: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()  # PyTorch before 2.12 cannot tell
    return bool(has.get("avx512_bf16") or has.get("amx_bf16"))


def out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out, on the GPU or on the CPU."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and ("can't allocate memory" in str(error) or "out of memory" in str(error))


@contextmanager
def memory_told(name: str) -> Iterator[None]:
    """Turn an out-of-memory error of any device into a `BadData` that says what to change."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if out_of_memory(error):
            raise BadData(f"{name}: out of memory: lower train.batch or train.size") from error
        raise


def _precision(engine: Engine, on_gpu: bool) -> str:
    if engine.precision == "auto":
        return "bf16" if (torch.cuda.is_bf16_supported() if on_gpu else multiplies_bf16()) else "no"
    if engine.precision == "fp16" and not on_gpu:
        raise WrongRequest("engine.precision: fp16 needs a GPU; use fp32 or bf16")
    return "no" if engine.precision == "fp32" else engine.precision


def _has_depthwise(network: torch.nn.Module) -> bool:
    convolutions = (each for each in network.modules() if isinstance(each, torch.nn.Conv2d))
    return any(1 < each.groups == each.in_channels for each in convolutions)


def _deterministic() -> None:
    """Same seed, same machine, same numbers."""
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.deterministic = True
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # a pass over each tensor
    if not torch.cuda.is_available():
        torch.use_deterministic_algorithms(True)


def _processes_from_slurm() -> None:
    """Name rank and world the way torchrun does where SLURM started the processes.

    A process that is shown one GPU alone (`--gpus-per-task`) calls it its first, whatever its number on the node.
    """
    given = os.environ
    if "RANK" in given or int(given.get(SLURM_TASKS, "1")) < 2 or "SLURM_PROCID" not in given:
        return
    given["RANK"], given["WORLD_SIZE"] = given["SLURM_PROCID"], given[SLURM_TASKS]
    local = int(given.get("SLURM_LOCALID", "0"))
    given["LOCAL_RANK"] = str(local % max(torch.cuda.device_count(), 1) if torch.cuda.is_available() else local)
    given.setdefault("MASTER_ADDR", first_host(given.get("SLURM_STEP_NODELIST", "127.0.0.1")))
    job, step = (int(given.get(name, "0")) for name in ("SLURM_JOB_ID", "SLURM_STEP_ID"))
    given.setdefault("MASTER_PORT", str(20_000 + (job + 101 * step) % 20_000))  # steps of a job may run side by side


def first_host(nodes: str) -> str:
    """The first name in SLURM's list of nodes, where process 0 runs: gpu03 of `gpu[03-05,9],cpu1`."""
    found = re.match(r"([^,\[]*)(?:\[([^,\-\]]+)[^\]]*\]([^,\[]*))?", nodes)
    return "".join(part or "" for part in found.groups()) if found else nodes
