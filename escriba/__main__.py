"""`python -m escriba` is the `escriba` command."""

from escriba.cli import main

if __name__ == "__main__":
    main()
