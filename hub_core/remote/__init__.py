"""The Hub: artifacts are pulled from it, published to it and searched on it.

``reference`` names them, ``endpoint`` says which Hub and which token, ``connection`` guards every
request, ``pull`` and ``push`` do the work. Nothing here imports torch.
"""
