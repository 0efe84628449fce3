"""`remotejob local`: the whole system on this machine.

command     options, how to reach it, Ctrl-C
folders     where it keeps what
system      the stacks deployed into the embedded AWS, and the workers
synthesis   the CDK app as a cloud assembly
process     --process: a folder of files, their jobs and outputs
"""
