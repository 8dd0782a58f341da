"""Entry point of `python -m trainer`, which MLproject runs: the same commands as `barwright`."""

from cli.app import main

if __name__ == "__main__":
    main()
