"""Images: decoding, cache, augmentation, batches, the phantom."""
