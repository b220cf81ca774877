"""`python -m gatebench` is the command line."""

from gatebench.cli import main

if __name__ == "__main__":
    main()
