"""Every registered model keeps the contract of `models.backbone` and `models.classifier`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor

from secondread.core.errors import WrongRequest
from secondread.core.registry import parts
from secondread.core.spec import PartRef, ref
from secondread.models.build import build_classifier, load_trial, save_weights
from secondread.models.card import TrialCard, card_of
from secondread.models.catalogue import min_size
from secondread.models.classifier import Classifier
from secondread.models.spec import ModelSpec

CLASSES, BATCH = 3, 3
# dense layers of 4096 would only make the same test slow
MADE_SMALL = {name: {"dense": 48} for name in ("alexnet", "vgg16", "vgg19")} | {"googlenet": {"aux": True}}
OF_TIMM = ["timm/regnety_002", "timm/convnext_atto", "timm/vit_tiny_patch16_224"]
NAMED = [name for name in parts("models") if not name.endswith("/*")]
REFS = [ref(name, **MADE_SMALL.get(name, {})) for name in NAMED + OF_TIMM]


def build(model: PartRef, channels: int = 1, **given: object) -> Classifier:
    size = max(32, min_size(model.name))
    return build_classifier(model, ModelSpec(CLASSES, channels, size), mean=[0.45], std=[0.25], seed=1, **given)  # type: ignore[arg-type]


def images(model: Classifier, channels: int, batch: int = BATCH) -> Tensor:
    size = model.backbone.spec.size
    drawn = torch.randint(0, 256, (batch, channels, size, size), generator=torch.Generator().manual_seed(5))
    return drawn.to(torch.uint8)


@pytest.fixture(scope="module", params=REFS, ids=lambda model: model.name)
def model(request: pytest.FixtureRequest) -> PartRef:
    return request.param  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def built(model: PartRef) -> Classifier:
    return build(model)


@pytest.fixture
def fresh(built: Classifier) -> Iterator[Classifier]:
    """The shared network in eval mode; weights, statistics and freezing are put back afterwards."""
    before = {name: tensor.clone() for name, tensor in built.state_dict().items()}
    yield built.eval()
    built.load_state_dict(before)
    built.unfreeze()
    built.zero_grad()


def test_maps_features_and_logits_have_their_shapes_and_agree(fresh: Classifier) -> None:
    grey = images(fresh, 1)
    with torch.no_grad():
        logits, maps = fresh(grey), fresh.feature_maps(grey)
        features = fresh.features_from_maps(maps)
    assert logits.shape == (BATCH, CLASSES)
    assert torch.isfinite(logits).all()
    assert maps.dim() == 4
    assert maps.shape[0] == BATCH
    assert min(maps.shape[2:]) >= 1
    assert features.dim() == 2
    assert torch.equal(fresh.logits_from_maps(maps), logits)
    assert torch.equal(fresh.logits_from_features(features), logits)
    assert torch.equal(fresh.features(grey), features)
    assert torch.equal(fresh(grey.float()), logits)


def test_where_the_head_is_linear_the_class_activation_map_is_exact(fresh: Classifier) -> None:
    if not fresh.linear_head:
        assert fresh.cam_weights is None
        return
    with torch.no_grad():
        maps = fresh.feature_maps(images(fresh, 1))
        heat = torch.einsum("kf,bfhw->bkhw", fresh.cam_weights, maps)
        logits = heat.mean((2, 3)) + fresh.backbone.dense.output.bias
    torch.testing.assert_close(logits, fresh.logits_from_maps(maps), rtol=1e-4, atol=1e-4)


def test_gradients_reach_every_parameter(fresh: Classifier) -> None:
    fresh.train()
    torch.manual_seed(3)
    with torch.no_grad():
        for name, parameter in fresh.named_parameters():
            if name.endswith("weight") and not parameter.any():
                parameter.fill_(0.5)  # a residual branch that begins at zero hides its own layers from the first step
    logits, aux = fresh.train_logits(images(fresh, 1, batch=6))
    assert len(aux) == (2 if fresh.card.name == "googlenet" else 0)
    sum(((out - 1) ** 2).sum() for out in (logits, *aux)).backward()  # type: ignore[union-attr]
    trained = {name: p for name, p in fresh.named_parameters() if p.requires_grad}
    assert trained
    assert not [name for name, p in trained.items() if p.grad is None or not torch.isfinite(p.grad).all()]
    assert not [name for name, p in trained.items() if not p.grad.any()]  # type: ignore[union-attr]


def test_layer_groups_hold_every_trained_parameter_once_and_end_in_the_head(fresh: Classifier) -> None:
    groups = fresh.backbone.layer_groups()
    listed = [id(parameter) for group in groups for parameter in group]
    assert len(groups) >= 2
    assert len(set(listed)) == len(listed)
    assert set(listed) == {id(p) for p in fresh.parameters() if p.requires_grad}
    assert [id(p) for p in groups[-1]] == [id(p) for p in fresh.backbone.dense.parameters()]


def test_a_frozen_trunk_keeps_its_statistics_and_weights(fresh: Classifier) -> None:
    fresh.freeze()
    fresh.train()
    before = {name: tensor.clone() for name, tensor in fresh.state_dict().items()}
    grey = images(fresh, 1)
    for _ in range(2):
        logits, aux = fresh.train_logits(grey)
    logits.sum().backward()
    assert aux == ()
    assert all(torch.equal(tensor, before[name]) for name, tensor in fresh.state_dict().items())
    assert {name for name, p in fresh.named_parameters() if p.grad is not None} == {
        name for name, _ in fresh.named_parameters() if name.startswith("backbone.dense.")
    }
    with torch.no_grad():
        assert torch.equal(fresh.features(grey), fresh.eval().features(grey))


def test_thawed_batchnorm_learns_again(fresh: Classifier) -> None:
    fresh.freeze()
    fresh.unfreeze()
    fresh.train()
    moved = {name: tensor.clone() for name, tensor in fresh.named_buffers() if name.endswith("running_mean")}
    fresh.train_logits(images(fresh, 1))
    still = [name for name, tensor in fresh.named_buffers() if name in moved and torch.equal(tensor, moved[name])]
    assert all(name.startswith("backbone.encoder.") for name in still)


def test_grey_equals_three_times_the_same_channel(fresh: Classifier) -> None:
    grey = images(fresh, 1)
    if fresh.backbone.in_channels == 1:
        assert fresh.normalise(grey).shape[1] == 1
        return
    with torch.no_grad():
        torch.testing.assert_close(fresh(grey.repeat(1, 3, 1, 1)), fresh(grey), rtol=1e-5, atol=1e-5)


def test_colour_images_are_read(model: PartRef, fresh: Classifier) -> None:
    colour = fresh if fresh.backbone.in_channels == 3 else build(model, channels=3).eval()
    with torch.no_grad():
        logits = colour(images(colour, 3))
    assert logits.shape == (BATCH, CLASSES)
    assert torch.isfinite(logits).all()


def test_a_trial_read_back_gives_equal_bits(model: PartRef, fresh: Classifier, tmp_path: Path) -> None:
    spec = fresh.backbone.spec
    fresh.train()
    fresh.train_logits(images(fresh, 1))  # so that BatchNorm statistics are not those of a fresh network
    fresh.eval()
    mean, std = fresh.statistics
    card = TrialCard(
        study="s", arm="plain", model=model.label, repeat=0, fold=0, seed=1, part=model.name, options=model.options,
        classes=("a", "b", "c"), task="multiclass", channels=1, size=spec.size, fit="stretch", intensity="full_range",
        crop_border=0.0, mean=mean, std=std, head=spec.head, training_prior=(0.2, 0.3, 0.5),
        natural_prior=(0.2, 0.3, 0.5), best_epoch=1, steps=1, seconds=0.1, contents="",
        parameters=fresh.card.parameters,
    )  # fmt: skip
    card.write(tmp_path / "card.json")
    save_weights(fresh.to(memory_format=torch.channels_last), tmp_path / "best.safetensors")
    fresh.to(memory_format=torch.contiguous_format)
    drawn = torch.random.get_rng_state()
    again, card_again = load_trial(tmp_path)
    assert torch.equal(drawn, torch.random.get_rng_state())
    assert card_again == card
    assert again.card == fresh.card
    assert not again.training
    grey = images(fresh, 1)
    with torch.no_grad():
        assert torch.equal(again(grey), fresh(grey))


def test_the_card_tells_what_is_known(model: PartRef, fresh: Classifier) -> None:
    card = fresh.card
    assert card == card_of(model.name).__class__(**{**vars(card_of(model.name)), "parameters": card.parameters})
    assert card.parameters == sum(parameter.numel() for parameter in fresh.parameters())
    assert card.cam_layer
    assert card.licence_code
    assert bool(card.weights) == bool(card.licence_weights)
    assert len(card.mean) == len(card.std)


def test_an_image_that_is_too_small_is_refused(model: PartRef) -> None:
    small = min_size(model.name) - 1
    with pytest.raises(WrongRequest, match=str(small)):
        build_classifier(model, ModelSpec(CLASSES, 1, small), mean=[0.5], std=[0.5])
