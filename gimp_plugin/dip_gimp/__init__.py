"""What the plug-in for GIMP 3 is made of; the installer puts it beside the script GIMP runs.

It runs in GIMP's own Python: standard library and ``gi`` only. Modules that touch GIMP import
``gi`` at their top; the others are plain Python.

    box, selection, npy     rectangles, masks and arrays as bytes        plain
    scratch                 the private folder of a run                  plain
    engine_command          how the installed engine is started          plain
    request                 what the user asked for                      plain
    layers                  pixels out of a layer and back, bit for bit  gi
    assignment              one run: from the layer to the new layer     gi
    follower                the engine's events for the main loop        gi
    settings_dialog         which task, how strong …                     gi, GTK
    live_window             the picture as it emerges, made of           gi, GTK
      pictures, picture_view, curve, controls
    gallery                 the snapshots to choose from                 plain
"""
