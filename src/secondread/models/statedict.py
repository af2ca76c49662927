"""Weight files: read without unpickling, and copied only where every tensor of the trunk fits."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from secondread.core.errors import Absent, WrongRequest
from secondread.models.backbone import Backbone

OURS = "backbone."
WRAPPERS = ("state_dict", "model_state_dict", "model", "teacher", "net")


def read_state(path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file or a PyTorch state dict; raises `WrongRequest` for anything else."""
    if not path.is_file():
        raise Absent(f"weights: there is no file {path}")
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            state: Any = load_file(path)
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise WrongRequest(
            f"weights: {path} holds more than tensors and is not opened: save its state dict as safetensors"
        ) from error
    except Exception as error:  # whatever a damaged file makes a reader raise
        told = " ".join(str(error).split())[:160]
        raise WrongRequest(f"weights: {path} is not a readable safetensors file or state dict: {told}") from error
    return _unwrapped(state, path)


def own_state(state: Mapping[str, Tensor]) -> dict[str, Tensor] | None:
    """The backbone's part of a file that `save_weights` wrote; None for a file of other making."""
    if not any(key.startswith(OURS) for key in state):
        return None
    return {key.removeprefix(OURS): tensor for key, tensor in state.items() if key.startswith(OURS)}


def fit(
    backbone: Backbone, state: Mapping[str, Tensor], source: str, *, head: Literal["where it fits", "never"]
) -> tuple[str, ...]:
    """Copy `state` (our names) into `backbone`; tell what was dropped or adapted.

    The trunk must fit tensor by tensor, except that the first convolution is adapted between grey and colour. Raises
    `WrongRequest` naming what does not fit.
    """
    wanted = backbone.state_dict()
    optional = tuple(f"net.{beginning}" for beginning in backbone.untrained_keys)
    trunk = {k for k in wanted if not k.startswith(("dense.", *optional)) and not k.endswith("num_batches_tracked")}
    given = {key: tensor for key, tensor in state.items() if key in wanted}
    unknown = [key for key in state if key not in wanted and not key.startswith(("dense.", *optional))]
    missing = sorted(trunk - set(given))
    if missing or unknown:
        raise WrongRequest(_misfit(backbone, source, missing, unknown, len(trunk)))
    notes = _fit_head(wanted, given, head)
    for key, tensor in given.items():
        adapted, note = _adapted(tensor, wanted[key])
        if adapted is None:
            raise WrongRequest(
                f"weights: {source} do not fit {backbone.card.name}: {key} is {list(tensor.shape)}, here "
                f"{list(wanted[key].shape)}: trained with another size or other options?"
            )
        given[key] = adapted
        notes += [f"{key}: {note}"] if note else []
    if any(key.startswith(optional) for key in wanted if optional) and not any(
        key.startswith(optional) for key in given if optional
    ):
        notes.append("auxiliary classifiers start fresh")
    backbone.load_state_dict(given, strict=False)
    return tuple(notes)


def _fit_head(wanted: Mapping[str, Tensor], given: dict[str, Tensor], head: str) -> list[str]:
    """Drop the head from `given` unless all of it fits."""
    ours = {key for key in wanted if key.startswith("dense.")}
    theirs = {key for key in given if key.startswith("dense.")}
    if head != "never" and theirs == ours and all(given[key].shape == wanted[key].shape for key in ours):
        return []
    there = given.get("dense.output.weight")
    for key in theirs:
        del given[key]
    if there is None or head == "never":
        return ["the head starts fresh"]
    classes = wanted["dense.output.weight"].shape[0]
    return [f"the head starts fresh: the file's has {there.shape[0]} outputs, this one {classes}"]


def _adapted(tensor: Tensor, wanted: Tensor) -> tuple[Tensor | None, str]:
    """`tensor` in the shape of `wanted`, with a note if it was changed; None when it cannot be.

    Grey from colour filters: their sum, which equals feeding the grey image three times. Colour from grey: thirds.
    """
    if tensor.shape == wanted.shape:
        return tensor, ""
    if (
        tensor.dim() == wanted.dim() == 4
        and tensor.shape[::2] == wanted.shape[::2]
        and tensor.shape[3] == wanted.shape[3]
    ):
        if (tensor.shape[1], wanted.shape[1]) == (3, 1):
            return tensor.sum(1, keepdim=True), "filters of three colours summed for grey images"
        if (tensor.shape[1], wanted.shape[1]) == (1, 3):
            return tensor.repeat(1, 3, 1, 1) / 3, "grey filters shared over three colours"
    return None, ""


def _misfit(backbone: Backbone, source: str, missing: list[str], unknown: list[str], total: int) -> str:
    told = []
    if missing:
        told.append(f"{len(missing)} of {total} tensors are missing (first: {missing[0]})")
    if unknown:
        told.append(f"{len(unknown)} are of no use (first: {unknown[0]})")
    return f"weights: {source} are not those of {backbone.card.name}: " + ", ".join(told)


def _unwrapped(state: Any, path: Path) -> dict[str, Tensor]:
    """The dictionary of tensors inside a checkpoint, without the `module.` of a data-parallel run."""
    for wrapper in WRAPPERS:
        if isinstance(state, Mapping) and isinstance(state.get(wrapper), Mapping):
            state = state[wrapper]
            break
    tensors = {k: v for k, v in state.items() if isinstance(v, Tensor)} if isinstance(state, Mapping) else {}
    if not tensors:
        raise WrongRequest(f"weights: {path} holds no named tensors: a state dict is needed")
    parallel = all(key.startswith("module.") for key in tensors)
    return {key.removeprefix("module.") if parallel else key: tensor for key, tensor in tensors.items()}
