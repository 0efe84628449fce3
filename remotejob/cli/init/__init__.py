"""`remotejob init`: makes a project for your tasks, or adds what an existing one lacks.

command   the command
naming    the project's name, from its folder
template  the files, from `project/`, which are valid as they stand
adding    writes them: all or nothing, and over nothing
advice    what files of yours lack, which are never changed
"""
