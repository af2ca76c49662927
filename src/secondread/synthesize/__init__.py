"""Step 3: GAN images for rare classes, and their quality."""
