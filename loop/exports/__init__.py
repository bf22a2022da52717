"""Designs as geometry for other programs: surfaces, meshes, outlines and volumes, each with what it conducts."""
