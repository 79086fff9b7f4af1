"""``python -m dip_batch`` is ``dip-batch``."""

from dip_batch.cli import main

if __name__ == "__main__":
    main()
