"""Images with classes: training, inversion, and a judge that shares nothing with them."""
