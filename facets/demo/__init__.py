"""The main job of the project, told step by step by `facets demo`."""
