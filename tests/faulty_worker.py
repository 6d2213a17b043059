"""A worker whose models misbehave on marked images: `python -m tests.faulty_worker LOADER`."""

import sys

from workers.__main__ import main

if __name__ == "__main__":
    sys.exit(main(loader=f"tests.faulty_network:{sys.argv[1]}"))
