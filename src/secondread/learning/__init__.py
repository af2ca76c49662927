"""The loops, optimisers, schedules, checkpoints and devices that classifiers, autoencoders and GANs learn with."""
