"""The same weights in torchvision's or timm's own network give the same logits."""

from __future__ import annotations

import pytest
import timm
import torch
import torchvision
from torch import Tensor, nn

from secondread.core.spec import ref
from secondread.models.build import build_classifier
from secondread.models.card import IMAGENET_MEAN, IMAGENET_STD
from secondread.models.classifier import Classifier
from secondread.models.spec import ModelSpec
from secondread.models.statedict import fit

SIZE, CLASSES = 64, 7


def lived_in(net: nn.Module) -> nn.Module:
    """Statistics and scales as after training, so that a forgotten or swapped tensor shows."""
    draw = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for module in net.modules():
            if isinstance(module, nn.BatchNorm2d):
                for tensor in (module.running_mean, module.running_var, module.weight, module.bias):
                    assert tensor is not None
                    tensor.copy_(torch.rand(tensor.shape, generator=draw) * 0.5 + 0.6)
    return net.eval()


def ours(name: str, state: dict[str, Tensor], **options: object) -> Classifier:
    spec = ModelSpec(CLASSES, 3, SIZE, pretrained=True)
    built = build_classifier(ref(name, **options), spec, mean=IMAGENET_MEAN, std=IMAGENET_STD, seed=0)
    assert fit(built.backbone, built.backbone.published(state), "the test", head="where it fits") == ()
    return built.eval()


def images(side: int = SIZE) -> Tensor:
    drawn = torch.randint(0, 256, (2, 3, side, side), generator=torch.Generator().manual_seed(9))
    return drawn.to(torch.uint8)


def normalised(
    images: Tensor, mean: tuple[float, ...] = IMAGENET_MEAN, std: tuple[float, ...] = IMAGENET_STD
) -> Tensor:
    return torchvision.transforms.functional.normalize(images / 255, mean, std)


@pytest.mark.parametrize(
    "name", ["alexnet", "vgg16", "resnet18", "resnet34", "resnet50", "densenet121", "efficientnet_b0"]
)
def test_logits_are_those_of_torchvision(name: str) -> None:
    torch.manual_seed(0)
    net = lived_in(torchvision.models.get_model(name, weights=None, num_classes=CLASSES))
    built = ours(name, net.state_dict())
    with torch.no_grad():
        torch.testing.assert_close(built(images()), net(normalised(images())), rtol=1e-4, atol=1e-5)


def test_vgg19_without_its_dense_layers_has_torchvisions_maps() -> None:
    torch.manual_seed(0)
    with torch.device("meta"):
        features = torchvision.models.vgg19(weights=None, init_weights=False).features
    features = features.to_empty(device="cpu")
    for parameter in features.parameters():
        nn.init.normal_(parameter, 0.01, 0.06)
    state = {f"features.{key}": tensor for key, tensor in features.state_dict().items()}
    spec = ModelSpec(CLASSES, 3, SIZE)
    built = build_classifier(ref("vgg19", top="gap"), spec, mean=IMAGENET_MEAN, std=IMAGENET_STD, seed=0).eval()
    classifier = {"classifier.0.weight": torch.zeros(4096, 25088), "classifier.6.weight": torch.zeros(1000, 4096)}
    notes = fit(built.backbone, built.backbone.published(state | classifier), "the test", head="where it fits")
    assert notes == ("the head starts fresh",)
    with torch.no_grad():
        torch.testing.assert_close(built.feature_maps(images()), features(normalised(images())), rtol=1e-4, atol=1e-5)


def test_googlenet_with_statistics_of_one_half_is_torchvisions_with_its_input_transformed() -> None:
    torch.manual_seed(0)
    net = lived_in(
        torchvision.models.GoogLeNet(CLASSES, aux_logits=True, transform_input=True, init_weights=True)
    )  # fmt: skip
    spec = ModelSpec(CLASSES, 3, SIZE)
    built = build_classifier(ref("googlenet", aux=True), spec, mean=[0.5] * 3, std=[0.5] * 3, seed=0).eval()
    notes = fit(built.backbone, built.backbone.published(net.state_dict()), "the test", head="where it fits")
    assert notes == ("auxiliary classifiers start fresh",)
    with torch.no_grad():
        torch.testing.assert_close(built(images()), net(normalised(images())), rtol=1e-4, atol=1e-4)


def test_auxiliary_logits_are_those_of_torchvision() -> None:
    torch.manual_seed(0)
    net = torchvision.models.GoogLeNet(CLASSES, aux_logits=True, transform_input=False, init_weights=True)
    built = build_classifier(ref("googlenet", aux=True), ModelSpec(CLASSES, 3, SIZE), mean=[0.5], std=[0.5], seed=0)
    state = {f"net.{key}": tensor for key, tensor in net.state_dict().items() if not key.startswith("fc.")}
    built.backbone.load_state_dict(state, strict=False)
    for module in (*net.modules(), *built.modules()):
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    net.train()
    built.train()
    theirs = net(normalised(images(), (0.5,) * 3, (0.5,) * 3))
    aux = built.train_logits(images()).aux
    torch.testing.assert_close(aux[0] + aux[1], theirs.aux_logits1 + theirs.aux_logits2, rtol=1e-4, atol=1e-4)


def test_densenets_published_file_of_old_names_fits() -> None:
    state = torchvision.models.densenet121(weights=None, num_classes=CLASSES).state_dict()
    old = {}
    for key, tensor in state.items():
        for kind in ("norm", "conv"):
            for number in "12":
                if "denselayer" in key:
                    key = key.replace(f".{kind}{number}.", f".{kind}.{number}.")
        old[key] = tensor
    assert set(old) != set(state)
    built = ours("densenet121", old)
    assert torch.equal(built.backbone.net.features.norm5.weight, state["features.norm5.weight"])
    layer = "denseblock1.denselayer1.conv2.weight"
    assert torch.equal(built.backbone.net.features.get_parameter(layer), state[f"features.{layer}"])


@pytest.mark.parametrize(
    ("name", "theirs", "options"),
    [
        ("resnet50v2", "resnetv2_50", {}),
        ("timm/resnetv2_50", "resnetv2_50", {}),
        ("timm/convnext_atto", "convnext_atto", {}),
        ("timm/mobilenetv3_small_050", "mobilenetv3_small_050", {}),
        (
            "timm/vit_tiny_patch16_224",
            "vit_tiny_patch16_224",
            {"img_size": SIZE, "global_pool": "avg", "fc_norm": False},
        ),
        ("timm/swin_tiny_patch4_window7_224", "swin_tiny_patch4_window7_224", {"img_size": SIZE}),
    ],
)
def test_logits_are_those_of_timm(name: str, theirs: str, options: dict[str, object]) -> None:
    torch.manual_seed(0)
    net = lived_in(timm.create_model(theirs, pretrained=False, num_classes=CLASSES, **options))
    built = ours(name, net.state_dict())
    with torch.no_grad():
        torch.testing.assert_close(built(images()), net(normalised(images())), rtol=1e-4, atol=1e-4)


def test_a_transformers_positions_are_resampled_to_the_size_as_timm_does() -> None:
    torch.manual_seed(0)
    state = timm.create_model("vit_tiny_patch16_224", pretrained=False, num_classes=CLASSES).state_dict()
    built = ours("timm/vit_tiny_patch16_224", state)
    positions = built.backbone.net.pos_embed
    assert positions.shape[1] == 1 + (SIZE // 16) ** 2
    torch.testing.assert_close(positions[:, 0], state["pos_embed"][:, 0])


def test_a_transformer_of_several_heads_gives_its_trunk() -> None:
    state = timm.create_model("deit_tiny_distilled_patch16_224", pretrained=False, num_classes=CLASSES).state_dict()
    spec = ModelSpec(CLASSES, 3, SIZE)
    built = build_classifier(ref("timm/deit_tiny_distilled_patch16_224"), spec, mean=[0.5], std=[0.5], seed=0)
    notes = fit(built.backbone, built.backbone.published(state), "the test", head="where it fits")
    assert notes == ("the head starts fresh",)
    assert torch.equal(built.backbone.net.blocks[3].mlp.fc1.weight, state["blocks.3.mlp.fc1.weight"])


def test_summed_filters_equal_the_repeated_grey_image() -> None:
    torch.manual_seed(0)
    state = torchvision.models.alexnet(weights=None, num_classes=CLASSES).state_dict()
    colour = ours("alexnet", state)
    colour.mean, colour.std = torch.full((1, 1, 1, 1), 0.4), torch.full((1, 1, 1, 1), 0.2)
    grey = build_classifier(ref("alexnet"), ModelSpec(CLASSES, 1, SIZE), mean=[0.4], std=[0.2], seed=0).eval()
    notes = fit(grey.backbone, grey.backbone.published(state), "the test", head="where it fits")
    assert notes == ("net.features.0.weight: filters of three colours summed for grey images",)
    one = images()[:, :1]
    with torch.no_grad():
        torch.testing.assert_close(grey(one), colour(one.repeat(1, 3, 1, 1)), rtol=1e-4, atol=1e-5)


def test_darkcovidnet_has_the_published_number_of_weights() -> None:
    spec = ModelSpec(2, 3, 256)  # two classes, three channels: 1,164,434 in Ozturk et al. 2020
    built = build_classifier(ref("darkcovidnet"), spec, mean=IMAGENET_MEAN, std=IMAGENET_STD, seed=0)
    assert built.backbone.parameter_count == 1_164_434
    assert built.feature_maps(images(256)).shape[1:] == (256, 13, 13)
