"""The plug-in for GIMP 3: the folder that GIMP loads, with a script of the same name.

It runs in GIMP's own Python: standard library and ``gi`` only. ``dip-engine install-gimp-plugin``
puts the client of the engine beside it.
"""
