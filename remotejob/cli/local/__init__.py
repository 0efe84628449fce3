"""`remotejob local`: the whole system on this machine.

command        options, start and end, the loop in between
folders        where it keeps what
synthesis      the CDK app as a cloud assembly; kept_assembly, only when something has changed
process        --process: a folder of files, their jobs and outputs
sources        the files of the project, and what each concerns
watcher        notices that some change; snapshot, which hold something else
reload         what follows; updates, for the stacks
system         the embedded AWS with its stacks; workers, which start again when they end
logs           follows the logs of workers; lines, what is said of them; window, prints it
"""
