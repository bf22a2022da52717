"""The network: images and properties -> checkpoint; checkpoint and goals -> candidates."""
