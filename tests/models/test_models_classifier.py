from __future__ import annotations

import numpy as np
import pytest
import torch

from secondread.core.errors import WrongRequest
from secondread.core.spec import Head, ref
from secondread.core.tables import Task
from secondread.models.build import build_classifier
from secondread.models.spec import ModelSpec

GREY = torch.arange(2 * 32 * 32).reshape(2, 1, 32, 32).remainder(256).to(torch.uint8)


@pytest.mark.parametrize(
    ("task", "prior"), [("binary", [0.7, 0.3]), ("multiclass", [0.1, 0.3, 0.6]), ("multilabel", [0.02, 0.5, 0.9])]
)
def test_the_first_output_is_the_prior(task: Task, prior: list[float]) -> None:
    built = build_classifier(
        ref("plain_cnn"), ModelSpec(len(prior), 1, 32, task), mean=[0.5], std=[0.5], prior=prior, seed=0
    )
    with torch.no_grad():
        logits = built.logits_from_features(torch.zeros(1, 256))[0]
    chance = logits.sigmoid() if task == "multilabel" else logits.softmax(0)
    np.testing.assert_allclose(chance.numpy(), prior, atol=1e-6)


def test_a_prior_of_a_class_that_never_occurs_stays_finite() -> None:
    spec = ModelSpec(2, 1, 32, "multilabel")
    built = build_classifier(ref("plain_cnn"), spec, mean=[0.5], std=[0.5], prior=[0.0, 1.0], seed=0)
    assert torch.isfinite(built.backbone.dense.output.bias).all()


def test_a_prior_of_the_wrong_length_is_refused() -> None:
    with pytest.raises(WrongRequest, match="2 values for 3 classes"):
        build_classifier(ref("plain_cnn"), ModelSpec(3, 1, 32), mean=[0.5], std=[0.5], prior=[0.5, 0.5])


def test_images_are_normalised_inside() -> None:
    built = build_classifier(ref("resnet18"), ModelSpec(2, 1, 32), mean=[0.1, 0.2, 0.3], std=[0.5, 0.4, 0.2], seed=0)
    wanted = (GREY.numpy() / 255 - np.array([0.1, 0.2, 0.3]).reshape(3, 1, 1)) / np.array([0.5, 0.4, 0.2]).reshape(
        3, 1, 1
    )
    np.testing.assert_allclose(built.normalise(GREY).numpy(), wanted, rtol=1e-5, atol=1e-6)
    assert built.statistics[0] == pytest.approx((0.1, 0.2, 0.3))


def test_colour_statistics_are_averaged_for_a_network_of_one_channel() -> None:
    built = build_classifier(ref("plain_cnn"), ModelSpec(2, 1, 32), mean=[0.1, 0.2, 0.3], std=[0.5, 0.4, 0.3], seed=0)
    assert built.statistics[0] == pytest.approx((0.2,))
    assert built.statistics[1] == pytest.approx((0.4,))


@pytest.mark.parametrize(("mean", "std"), [([0.1, 0.2], [0.1, 0.2]), ([0.1], [0.1, 0.1, 0.1]), ([0.5], [0.0])])
def test_statistics_that_cannot_be_are_refused(mean: list[float], std: list[float]) -> None:
    with pytest.raises(WrongRequest, match="std"):
        build_classifier(ref("resnet18"), ModelSpec(2, 1, 32), mean=mean, std=std)


@pytest.mark.parametrize("channels", [0, 2, 4])
def test_images_are_grey_or_colour(channels: int) -> None:
    with pytest.raises(WrongRequest, match=r"1 \(grey\) or 3 \(colour\)"):
        ModelSpec(2, channels, 32)


def test_the_seed_alone_decides_the_first_weights() -> None:
    def first(seed: int) -> torch.Tensor:
        torch.randn(3)  # moves the global generator, which must not matter
        built = build_classifier(ref("improved_cnn"), ModelSpec(2, 1, 32), mean=[0.5], std=[0.5], seed=seed)
        return torch.cat([parameter.detach().flatten() for parameter in built.parameters()])

    drawn = torch.random.get_rng_state()
    build_classifier(ref("plain_cnn"), ModelSpec(2, 1, 32), mean=[0.5], std=[0.5], seed=4)
    assert torch.equal(torch.random.get_rng_state(), drawn)
    assert torch.equal(first(4), first(4))
    assert not torch.equal(first(4), first(5))


def test_a_hidden_head_is_dense_relu_linear() -> None:
    spec = ModelSpec(3, 1, 32, head=Head(hidden=16, dropout=0.5))
    built = build_classifier(ref("resnet18"), spec, mean=[0.5], std=[0.5], seed=0).eval()
    dense = built.backbone.dense
    with torch.no_grad():
        features = built.features(GREY)
        assert dense.hidden is not None
        by_hand = dense.output(torch.relu(dense.hidden(features)))
    assert dense.hidden.out_features == 16
    assert not built.linear_head
    assert built.cam_weights is None
    torch.testing.assert_close(built.logits_from_features(features), by_hand)


def test_the_studys_dropout_goes_before_the_networks_own() -> None:
    def dropout(**head: float) -> float:
        spec = ModelSpec(2, 1, 32, head=Head.model_validate(head))
        return build_classifier(ref("efficientnet_b0"), spec, mean=[0.5], std=[0.5], seed=0).backbone.dense.dropout.p

    assert dropout() == 0.2
    assert dropout(dropout=0.45) == 0.45


def test_a_vgg_with_a_hidden_head_pools_globally_as_system_b_does() -> None:
    spec = ModelSpec(14, 1, 32, "multilabel", Head(hidden=8))
    pooled = build_classifier(ref("vgg16"), spec, mean=[0.5], std=[0.5], seed=0)
    assert pooled.features(GREY).shape == (2, 512)
    own = build_classifier(ref("vgg16", dense=8, top="dense"), spec, mean=[0.5], std=[0.5], seed=0)
    assert own.features(GREY).shape == (2, 8)
    exact = build_classifier(ref("vgg16", top="gap"), ModelSpec(2, 1, 32), mean=[0.5], std=[0.5], seed=0)
    assert exact.linear_head


def test_a_small_image_is_refused_before_anything_is_built() -> None:
    with pytest.raises(WrongRequest, match="size 32 is too small for alexnet: it needs at least 64"):
        build_classifier(ref("alexnet"), ModelSpec(2, 1, 32), mean=[0.5], std=[0.5])


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("timm/convnext_atoo", "did you mean .*convnext_atto"),
        ("timm/crossvit_9_240", "cannot be built|no maps"),
        ("timm/vit_small_patch14_dinov2.lvd142m", "multiple of 14: 56 or 70"),
    ],
)
def test_a_timm_network_that_cannot_be_is_refused(name: str, told: str) -> None:
    with pytest.raises(WrongRequest, match=told):
        build_classifier(ref(name), ModelSpec(2, 1, 64), mean=[0.5], std=[0.5])


@pytest.mark.parametrize(("name", "options"), [("improved_cnn", {"dropout": 3.0}), ("plain_cnn", {"width": -4})])
def test_options_that_no_layer_takes_are_refused(name: str, options: dict[str, float]) -> None:
    with pytest.raises(WrongRequest, match=f"{name}: option {next(iter(options))}"):
        build_classifier(ref(name, **options), ModelSpec(2, 1, 64), mean=[0.5], std=[0.5])


def test_a_network_that_no_memory_holds_is_refused() -> None:
    with pytest.raises(WrongRequest, match=r"plain_cnn cannot be built with .*width"):
        build_classifier(ref("plain_cnn", width=10**10), ModelSpec(2, 1, 64), mean=[0.5], std=[0.5])


def test_half_precision_is_taken_over_by_the_normalisation() -> None:
    built = build_classifier(ref("plain_cnn"), ModelSpec(2, 1, 32), mean=[0.5], std=[0.5], seed=0).eval()
    assert built.bfloat16()(GREY).dtype == torch.bfloat16


# each image by its own mean and spread


@pytest.mark.parametrize(("name", "channels"), [("resnet18", 1), ("resnet18", 3), ("plain_cnn", 1)])
def test_an_image_normalised_by_itself_answers_alike_under_every_exposure(name: str, channels: int) -> None:
    spec = ModelSpec(2, channels, 32)
    built = build_classifier(ref(name), spec, mean=[0.5], std=[0.2], normalise="image", seed=0).eval()
    images = torch.rand(6, channels, 32, 32, generator=torch.Generator().manual_seed(0)) * 100 + 20
    made = built.normalise(images)
    assert made.shape[1] == built.backbone.in_channels
    torch.testing.assert_close(made.mean((1, 2, 3)), torch.zeros(6), atol=1e-5, rtol=0)
    torch.testing.assert_close(made.std((1, 2, 3), correction=0), torch.ones(6))
    torch.testing.assert_close(built(images * 1.7 + 12), built(images), rtol=1e-3, atol=1e-4)
    alone = build_classifier(ref(name), spec, mean=[0.5], std=[0.2], seed=0).eval()
    assert not torch.allclose(alone(images * 1.7 + 12), alone(images), rtol=1e-3, atol=1e-4)
    assert built.statistics == ((0.0,), (1.0,))


def test_a_flat_image_stays_flat_when_normalised_by_itself() -> None:
    built = build_classifier(ref("plain_cnn"), ModelSpec(2, 1, 32), mean=[0.5], std=[0.2], normalise="image", seed=0)
    assert not built.normalise(torch.full((2, 1, 32, 32), 77, dtype=torch.uint8)).any()


def test_a_network_on_codes_refuses_what_its_autoencoder_never_saw() -> None:
    with pytest.raises(WrongRequest, match="normalise: image: coded_cnn"):
        build_classifier(ref("coded_cnn"), ModelSpec(2, 1, 32), mean=[0.5], std=[0.2], normalise="image")
