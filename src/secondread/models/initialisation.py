"""First weights of the networks that are ours to draw."""

from __future__ import annotations

from torch import nn


def he_initialise(net: nn.Module) -> None:
    """He 2015, equation 10, biases zero: keeps the signal's size through ReLU layers of any width.

    PyTorch's default shrinks it at every layer; a fresh AlexNet then puts out logits of 1e-8.
    """
    for module in net.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
