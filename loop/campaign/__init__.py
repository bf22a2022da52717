"""A campaign: its configuration, its journal, its samples and models, its rounds."""
