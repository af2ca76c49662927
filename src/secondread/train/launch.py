"""Training in this process, or in as many as `engine.devices` asks for.

`engine.devices: 2` starts two processes on this machine. Processes that torchrun or SLURM started already (on several
nodes) come here as they are. Each does its share of every batch; the first one writes.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import torch

from secondread.core.alone import alone
from secondread.core.errors import BadData, SecondreadError, WrongRequest
from secondread.core.processors import launched_processes
from secondread.core.progress import say
from secondread.core.spec import Engine, Study
from secondread.core.studydir import StudyDir, Unit, needed
from secondread.core.studyfile import load_study
from secondread.core.trials import trials
from secondread.learning.devices import Machine, machine
from secondread.train.autoencoder import FILES as CODER_FILES
from secondread.train.autoencoder import coder_unit, coders, train_autoencoder
from secondread.train.run import trial_unit
from secondread.train.trial import train_trial

FILES = ("best.safetensors", "contents.json")
"""What others build on of a trial."""


def train_units(study: Study, where: StudyDir) -> None:
    """Train all that is waiting; raises `BadData` when a process that was started for it fails."""
    wanted, nodes = study.train.engine.devices, study.train.engine.nodes
    if launched_processes() < nodes:
        raise WrongRequest(
            f"train.engine.nodes: {nodes}, but {launched_processes()} process is here: start the command on every node "
            "with torchrun or srun (docs/guide.md)"
        )
    if launched_processes() > 1 or wanted == "auto" or wanted < 2:
        train_here(study, where)
        return
    need_gpus(wanted)
    code = in_processes(wanted, __spec__.name, [str(where.root), str(where.data or ""), where.only or ""])
    if code:
        raise BadData(f"training in {wanted} processes failed (exit code {code}); the reason is above")


def need_gpus(processes: int) -> None:
    """Raises `WrongRequest` for more processes than there are GPUs, where there are any; processors can be shared."""
    if torch.cuda.is_available() and processes > (there := torch.cuda.device_count()):
        raise WrongRequest(f"train.engine.devices: {processes}, but this machine has {there} GPU(s)")


def in_processes(count: int, module: str, arguments: list[str]) -> int:
    """Run a module in `count` processes that know of each other; the exit code of the first that fails, or 0.

    As soon as one of them fails the others are killed: they would wait for it.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = os.environ | {"WORLD_SIZE": str(count), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    threads = str(max(torch.get_num_threads() // count, 1))
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            env={"OMP_NUM_THREADS": threads} | shared | {"RANK": str(rank), "LOCAL_RANK": str(rank)},
        )
        for rank in range(count)
    ]
    try:
        while (codes := [process.poll() for process in processes]) and None in codes and not any(codes):
            time.sleep(0.1)
        return next((code for code in codes if code), 0)
    finally:
        for process in processes:
            process.kill()
            process.wait()


def train_here(study: Study, where: StudyDir) -> None:
    """Train all that is waiting in this process (one of several, perhaps)."""
    train_coders(study, where)
    for trial in trials(study, where):
        unit = trial_unit(trial, where)
        with _turn(unit, where, trial.train.engine, FILES, ("card.json", "epochs.csv")) as place:
            if place is not None:
                if place.is_main:
                    say(f"train {trial.name}")
                train_trial(study, where, trial, place, unit.folder, unit.key())


def train_coders(study: Study, where: StudyDir) -> None:
    """Train the autoencoders that the wanted trials take their encoder from."""
    for coder in coders(study, where):
        unit = coder_unit(coder, where)
        with _turn(unit, where, study.train.engine, CODER_FILES) as place:
            if place is not None:
                train_autoencoder(coder, where, place, unit.folder, unit.key())


@contextmanager
def _turn(
    unit: Unit, where: StudyDir, engine: Engine, outputs: tuple[str, ...], beside: tuple[str, ...] = ()
) -> Iterator[Machine | None]:
    """One unit's work: None when it is done, else the machine to do it on; the first process keeps the record."""
    if unit.state() == "done":
        yield None
        return
    for path in unit.inputs:
        needed(path, path.relative_to(where.root).parts[0])
    place = machine(engine)
    lock = where.lock(f"train/{unit.name}")
    with alone(lock, f"train {unit.name}") if place.is_main else nullcontext():
        place.wait()
        done = unit.state() == "done"  # by another command, which was waited for
        place.wait()  # every process has looked before the first one changes the state
        if done:
            yield None
            return
        unit.folder.mkdir(parents=True, exist_ok=True)
        left = [[unit.folder / name for name in names] for names in (outputs, beside)]
        with unit.work(*left) if place.is_main else nullcontext():
            yield place
        place.wait()


def main(root: str, data: str, only: str) -> int:
    """One of the processes that `train_units` started."""
    end_with(os.getppid())
    where = StudyDir(Path(root), Path(data) if data else None, only or None)
    try:
        train_here(load_study(where.study_file), where)
    except SecondreadError as error:
        rank = os.environ.get("RANK", "0")
        say(str(error) if rank == "0" else f"process {rank}: {error}")
        return error.exit_code
    finally:
        leave()
    return 0


def end_with(parent: int) -> None:
    """Leave as soon as the process that started this one is gone: a rerun must not meet a writer of before."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def leave() -> None:
    group = torch.distributed
    if group.is_available() and group.is_initialized():
        group.destroy_process_group()


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:4]))
