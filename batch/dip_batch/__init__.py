"""Restore folders of pictures with the engine of `dip_engine`."""
