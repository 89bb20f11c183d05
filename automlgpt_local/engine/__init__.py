"""One session: a run folder in, events out. `python -m automlgpt_local.engine RUN_DIR` is its process."""
