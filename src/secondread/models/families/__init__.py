"""One leaf per family of networks, each in one order: layers, network, builder, registered names."""
