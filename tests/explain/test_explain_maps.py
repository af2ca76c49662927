"""The maps are those of the package `grad-cam`, for every label, for convolutional networks and transformers."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from pytorch_grad_cam import GradCAM, GradCAMPlusPlus, HiResCAM, LayerCAM
from pytorch_grad_cam.utils.image import scale_cam_image
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from torch import Tensor, nn

from export.model_parity import images_for, lived_in
from secondread.core.spec import Head, PartRef
from secondread.explain.grad_cam import (
    METHODS,
    Method,
    explain,
    grad_cam,
    grad_cam_pp,
    hires_cam,
    layer_cam,
    random_cam,
)
from secondread.models.build import build_classifier
from secondread.models.catalogue import min_size
from secondread.models.classifier import Classifier
from secondread.models.spec import ModelSpec

ORACLES: dict[Method, type[GradCAM]] = {
    "grad_cam": GradCAM, "grad_cam_pp": GradCAMPlusPlus, "layer_cam": LayerCAM, "hires_cam": HiResCAM,
}  # fmt: skip
MODELS = [{"name": "resnet18"}, {"name": "plain_cnn", "width": 8}, {"name": "vgg16", "dense": 32}, "densenet121",
          "alexnet_improved", "timm/vit_tiny_patch16_224"]  # fmt: skip
IMAGES = 4


class FromMaps(nn.Module):
    """The classifier from its CAM layer on, through a module that the oracle can hook."""

    def __init__(self, classifier: Classifier) -> None:
        super().__init__()
        self.classifier, self.tap = classifier, nn.Identity()

    def forward(self, maps: Tensor) -> Tensor:
        return self.classifier.logits_from_maps(self.tap(maps))


def network(written: object) -> Classifier:
    model = PartRef.model_validate(written)
    size = max(64, min_size(model.name))
    head = Head(hidden=16) if model.name == "plain_cnn" else Head()
    built = build_classifier(model, ModelSpec(3, 1, size, "multilabel", head), mean=[0.5], std=[0.3], seed=1)
    return lived_in(built).eval()


@pytest.mark.parametrize("written", MODELS, ids=lambda w: w if isinstance(w, str) else w["name"])
def test_maps_are_those_of_the_oracle(written: object) -> None:
    classifier = network(written)
    images = torch.from_numpy(images_for(classifier.backbone.spec.size)[:IMAGES])
    made = explain(classifier, images, tuple(METHODS))
    with torch.no_grad():
        maps = classifier.feature_maps(images).requires_grad_()
    behind, compared = FromMaps(classifier), 0
    for method, oracle in ORACLES.items():
        with oracle(model=behind, target_layers=[behind.tap]) as cam:
            for label in range(3):
                wanted = cam(input_tensor=maps, targets=[ClassifierOutputTarget(label)] * IMAGES)
                ours = scale_cam_image(made[method][:, label].numpy())
                for one, other in zip(ours, wanted, strict=True):
                    if one.std() > 0:
                        assert correlation(one, other) >= 0.999
                        compared += 1
    assert compared >= 12


def correlation(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    return float(np.corrcoef(one.ravel(), other.ravel())[0, 1])


def test_maps_are_raw_and_not_negative() -> None:
    classifier = network({"name": "plain_cnn", "width": 8})
    images = torch.from_numpy(images_for(64)[:2])
    made = explain(classifier, images, tuple(METHODS))
    for maps in made.values():
        assert maps.shape[:2] == (2, 3)
        assert (maps >= 0).all()
        assert not maps.requires_grad
    with torch.no_grad():
        classifier.backbone.dense.output.weight.mul_(3)
    again = explain(classifier, images, ("grad_cam", "hires_cam"))
    for name, maps in again.items():  # three times the evidence shows as three times the map, not as the same picture
        torch.testing.assert_close(maps, 3 * made[name], rtol=1e-4, atol=1e-6)


def test_no_evidence_gives_an_empty_map() -> None:
    maps = torch.rand(1, 3, 4, 4)
    for method in (grad_cam, grad_cam_pp, hires_cam, layer_cam):
        assert method(maps, torch.zeros_like(maps)).max() == 0
        assert method(maps, -torch.ones_like(maps)).max() == 0


def test_hires_and_grad_cam_agree_behind_a_mean() -> None:
    maps, weights = torch.rand(2, 5, 3, 3), torch.randn(2, 5, 1, 1)
    gradients = weights.expand_as(maps)
    torch.testing.assert_close(grad_cam(maps, gradients), hires_cam(maps, gradients))


def test_random_maps_depend_on_the_seed_alone() -> None:
    maps = torch.rand(2, 5, 3, 3)
    torch.testing.assert_close(random_cam(maps, 1), random_cam(maps, 1))
    assert not torch.equal(random_cam(maps, 1), random_cam(maps, 2))
