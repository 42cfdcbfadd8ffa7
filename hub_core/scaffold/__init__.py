"""For authors of plugins: a new distribution, what holds of one, and its entry in a registry.

Nothing here installs anything or imports a plugin into this process: what a plugin does is looked
at in a process of its own, which finds the plugin by metadata written for it.
"""
