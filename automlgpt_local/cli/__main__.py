"""`python -m automlgpt_local.cli`: the command `automlgpt` where its script is not on the path."""

from automlgpt_local.cli.main import main

if __name__ == "__main__":
    main()
