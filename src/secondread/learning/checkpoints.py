"""States written so that a killed training goes on to the same result: one safetensors file, nothing pickled.

Tensors stand in the body; everything else of the state (numbers, texts, lists, mappings) stands as JSON in the header.
The file replaces its predecessor in one rename, so that a kill leaves either the old state or the new one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from secondread.core.errors import BadData
from secondread.core.files import write_with


def save_checkpoint(path: Path, state: Any) -> None:
    """Write a state: nested mappings and lists of tensors, numbers, texts and None (such as any `state_dict`)."""
    tensors: dict[str, Tensor] = {}
    told = json.dumps(_pack(state, tensors))
    write_with(path, lambda temporary: save_file(tensors, temporary, metadata={"state": told}))


def load_checkpoint(path: Path) -> Any | None:
    """The state of `save_checkpoint`, or None when there is none; raises `BadData` when the file is damaged."""
    if not path.exists():
        return None
    try:
        with safe_open(path, framework="pt") as opened:
            told = json.loads(opened.metadata()["state"])
            return _unpack(told, opened)
    except (OSError, SafetensorError, KeyError, ValueError, TypeError) as error:
        raise BadData(f"the checkpoint {path} is damaged ({error}): delete it to train from the start") from error


def save_weights(path: Path, weights: Mapping[str, Tensor], facts: Mapping[str, str] | None = None) -> None:
    """Write named weights alone, as any safetensors reader takes them."""
    plain = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in weights.items()}
    write_with(path, lambda temporary: save_file(plain, temporary, metadata=dict(facts or {})))


def load_weights(path: Path, model: nn.Module) -> None:
    """Load what `save_weights` wrote into a model of the same architecture; raises `BadData` when it is not."""
    from safetensors.torch import load_file

    try:
        model.load_state_dict(load_file(path))
    except (OSError, SafetensorError, RuntimeError) as error:
        first = str(error).splitlines()[0]
        raise BadData(f"the weights {path} do not fit the model or cannot be read: {first}") from error


def _pack(value: Any, tensors: dict[str, Tensor]) -> Any:
    """JSON for `value`, its tensors moved to `tensors` and named there."""
    if isinstance(value, Tensor):
        name = f"t{len(tensors)}"
        strided = value.ndim == 4 and not value.is_contiguous()
        tensors[name] = value.detach().cpu().contiguous().clone()
        return {"tensor": name, "channels_last": strided}
    if isinstance(value, Mapping):
        return {"items": [[_pack(key, tensors), _pack(item, tensors)] for key, item in value.items()]}
    if isinstance(value, tuple):
        return {"tuple": [_pack(item, tensors) for item in value]}
    if isinstance(value, list):
        return [_pack(item, tensors) for item in value]
    if isinstance(value, np.generic):
        return value.item()
    return value


def _unpack(told: Any, opened: Any) -> Any:
    if isinstance(told, list):
        return [_unpack(item, opened) for item in told]
    if not isinstance(told, dict):
        return told
    if "tensor" in told:
        tensor = opened.get_tensor(told["tensor"])
        # fused optimisers walk parameter and moments in memory order: both must be laid out alike
        return tensor.contiguous(memory_format=torch.channels_last) if told["channels_last"] else tensor
    if "tuple" in told:
        return tuple(_unpack(item, opened) for item in told["tuple"])
    return {_unpack(key, opened): _unpack(item, opened) for key, item in told["items"]}
