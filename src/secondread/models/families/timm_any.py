"""Any network of timm by its name: convolutional ones as they are, transformers through the grid of their patches."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from secondread.core.errors import WrongRequest
from secondread.core.limits import BelowOne
from secondread.core.registry import part
from secondread.models.backbone import Backbone
from secondread.models.card import IMAGENET_MEAN, IMAGENET_STD, ModelCard, add_family
from secondread.models.spec import ModelSpec

# layers


class Grid:
    """Between timm's layouts and [B,F,h,w]: maps, maps with channels last, or tokens with or without a prefix."""

    def __init__(self, net: Any, probe: Any, name: str) -> None:
        """`probe`: what `forward_features` gave for one image."""
        self.prefix = int(getattr(net, "num_prefix_tokens", 0) or 0)
        self.channels_last = str(getattr(net, "output_fmt", "")).endswith("NHWC")
        if not isinstance(probe, Tensor) or probe.dim() not in (3, 4):
            raise WrongRequest(f"timm/{name} gives no maps of one grid: it cannot be explained, choose another")
        self.tokens = probe.dim() == 3
        self.side = round((probe.shape[1] - self.prefix) ** 0.5) if self.tokens else 0
        if self.tokens and self.side**2 + self.prefix != probe.shape[1]:
            raise WrongRequest(f"timm/{name} gives {probe.shape[1]} tokens, which form no square grid: choose another")

    def to_maps(self, out: Tensor) -> Tensor:
        if self.tokens:
            patches = out[:, self.prefix :].transpose(1, 2)
            return patches.reshape(*patches.shape[:2], self.side, self.side)
        return out.permute(0, 3, 1, 2) if self.channels_last else out

    def from_maps(self, maps: Tensor) -> Tensor:
        """The layout of timm again, without the prefix tokens."""
        if self.tokens:
            return maps.flatten(2).transpose(1, 2)
        return maps.permute(0, 2, 3, 1) if self.channels_last else maps


# network


class TimmBackbone(Backbone):
    """A network of timm between its `forward_features` and its head.

    A transformer with class or register tokens is pooled over its patches instead, since only patches form a map.
    """

    def __init__(self, spec: ModelSpec, variant: str, net: Any) -> None:
        with torch.no_grad():
            probe = net.eval().forward_features(torch.zeros(1, 3, spec.size, spec.size))
            grid = Grid(net, probe, variant)
            maps = grid.to_maps(probe)
            varied = torch.linspace(-1, 2, maps.numel()).reshape(maps.shape)
            features = _pooled(net, grid, varied)
        gap = features.shape == maps.shape[:2] and torch.allclose(features, varied.mean((2, 3)), atol=1e-5)
        super().__init__(spec, features.shape[1], gap=bool(gap))
        self.net: Any = net
        self.grid = grid
        self.variant = variant
        self.card = timm_card(variant)
        self.train()

    def feature_maps(self, images: Tensor) -> Tensor:
        return self.grid.to_maps(self.net.forward_features(images))

    def pooled(self, maps: Tensor) -> Tensor:
        return _pooled(self.net, self.grid, maps)

    def stages(self) -> Sequence[Sequence[nn.Module]]:
        return [[self.net]]

    def layer_groups(self) -> list[list[nn.Parameter]]:
        """timm's own grouping, one group per block."""
        from timm.models import group_parameters

        if not hasattr(self.net, "group_matcher"):
            return super().layer_groups()
        by_layer = group_parameters(self.net, self.net.group_matcher(coarse=False))
        named = dict(self.net.named_parameters())
        groups = [[named[name] for name in by_layer[layer]] for layer in sorted(by_layer)]
        return [*(group for group in groups if group), list(self.dense.parameters())]

    def published(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """timm's own loader renames, and resamples position embeddings to the size; raises `WrongRequest`."""
        import timm

        name = self.net.pretrained_cfg.get("classifier")
        if not isinstance(name, str):  # several heads (distilled transformers): none of them is taken over
            several = tuple(f"{head}." for head in name or ())
            state = {key: tensor for key, tensor in state.items() if not key.startswith(several)}
        classes = state[f"{name}.weight"].shape[0] if f"{name}.weight" in state else 0
        overlay = {"state_dict": dict(state), "num_classes": classes, "custom_load": False}
        try:
            net = timm.create_model(
                self.variant, pretrained=True, num_classes=classes, pretrained_cfg_overlay=overlay,
                **_size_options(self.variant, self.spec.size),
            )  # fmt: skip
        except (RuntimeError, KeyError) as error:
            told = " ".join(str(error).split())
            raise WrongRequest(f"the weights do not fit timm/{self.variant}: {told[:300]}") from error
        loaded = {f"net.{key}": tensor for key, tensor in net.state_dict().items()}
        for kind in ("weight", "bias"):
            head = loaded.pop(f"net.{name}.{kind}", None)
            if head is not None:
                loaded[f"dense.output.{kind}"] = head.flatten(1) if kind == "weight" else head
        return loaded


def _pooled(net: Any, grid: Grid, maps: Tensor) -> Tensor:
    if grid.tokens and grid.prefix:
        features = maps.mean((2, 3))
        norm = getattr(net, "fc_norm", None)
        return features if norm is None else norm(features)
    pooled: Tensor = net.forward_head(grid.from_maps(maps), pre_logits=True)
    return pooled


# builder


def timm_card(variant: str) -> ModelCard:
    """The card of a timm network; raises `WrongRequest` with near names when timm has none of that name."""
    import timm

    architecture = variant.partition(".")[0]
    if not timm.is_model(architecture):
        near = difflib.get_close_matches(architecture, timm.list_models(), n=3)
        raise WrongRequest(f"timm has no model {variant!r}" + (f": did you mean {', '.join(near)}?" if near else ""))
    config = timm.get_pretrained_cfg(variant, allow_unregistered=True)
    told = config.to_dict() if config else {}
    patch = _patch(variant)
    published = bool(told.get("hf_hub_id") or told.get("url"))
    tag = f".{told['tag']}" if told.get("tag") else ""
    return ModelCard(
        f"timm/{variant}", "timm", "the output of forward_features; of transformers the patches as a grid",
        "Apache-2.0 (timm)", min_size=-(-32 // patch) * patch,
        default_size=int((told.get("input_size") or (3, 224, 224))[-1]),
        weights=f"timm:{architecture}{tag}" if published else "", licence_weights=str(told.get("license") or ""),
        mean=tuple(told.get("mean") or IMAGENET_MEAN), std=tuple(told.get("std") or IMAGENET_STD),
        remarks="a transformer with class or register tokens is pooled over its patches",
    )  # fmt: skip


def _size_options(variant: str, size: int) -> dict[str, Any]:
    """`img_size` for networks built for one size; raises `WrongRequest` where patches would not fill it."""
    import timm

    patch = _patch(variant)
    if size % patch:
        below = size - size % patch
        raise WrongRequest(
            f"train: size {size}: timm/{variant} needs a multiple of {patch}: {below} or {below + patch}"
        )
    config = timm.get_pretrained_cfg(variant, allow_unregistered=True)
    return {"img_size": size} if config and config.fixed_input_size else {}


def _patch(variant: str) -> int:
    """Side of a transformer's patches, which timm's names tell."""
    told = re.search(r"patch(\d+)", variant)
    return int(told[1]) if told else 1


# registered names

add_family("timm/", timm_card)


@part("models", "timm/*")
def timm_any(variant: str, spec: ModelSpec, /, *, drop_path: BelowOne = 0.0) -> Backbone:
    """Any network of timm: `timm/convnext_tiny`, `timm/vit_small_patch14_dinov2.lvd142m`, …"""
    import timm

    timm_card(variant)
    options = {"drop_path_rate": drop_path} if drop_path else {}
    try:
        net = timm.create_model(
            variant, pretrained=False, num_classes=0, **_size_options(variant, spec.size), **options
        )
        return TimmBackbone(spec, variant, net)
    except (RuntimeError, TypeError, AssertionError, ValueError) as error:
        told = " ".join(str(error).split())[:200]
        raise WrongRequest(f"timm/{variant} cannot be built for {spec.size} pixels: {told}") from error
