"""The stacks of this checkout, composed of the library's constructs.

system          the app: the system of `remotejob.toml`, with this checkout's functions and image
"""
