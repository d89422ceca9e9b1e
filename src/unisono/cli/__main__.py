"""What `python -m unisono.cli` runs: the same command line as the console script."""

from unisono.cli import main

if __name__ == "__main__":
    main()
