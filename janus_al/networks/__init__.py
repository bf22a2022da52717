"""Networks: encoder-decoders and the head that share one latent space."""
