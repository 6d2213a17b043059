"""`python -m workers.models.conversion KIND FOLDER ...`: turn FOLDER/source into a model's files beside it.

In a process of its own: Paddle writes the form that OpenVINO reads too only with a flag that it looks at
when it is imported.
"""

import os
import sys
from pathlib import Path

SOURCE = "source"


def main() -> None:
    """Convert each folder; ends with a sentence when a source is not what its kind expects."""
    os.environ["FLAGS_enable_pir_api"] = "0"  # noqa: SIM112 (Paddle's spelling)
    from workers.models.conversion.conversions import convert

    for kind, folder in zip(sys.argv[1::2], map(Path, sys.argv[2::2]), strict=True):
        try:
            files = convert(kind, (folder / SOURCE).read_bytes())
        except ValueError as err:
            sys.exit(f"{kind}: {err}")
        for name, content in files.items():
            (folder / name).write_bytes(content)


if __name__ == "__main__":
    main()
