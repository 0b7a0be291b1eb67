"""The mount over an ordered folder: each change is a record before it happens, in the one order of a group.

log.py: append and marks; nodes.py: identity and locks of files; files.py: what is done to content; names.py:
what is done to names; mount.py: the mount itself, and nothing but translation.
"""
