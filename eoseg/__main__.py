"""`python -m eoseg` is the same as `eoseg`."""

from eoseg.cli import main

if __name__ == "__main__":
    main()
