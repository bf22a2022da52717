"""Structures: how they are made, and how they are read from people's files."""
