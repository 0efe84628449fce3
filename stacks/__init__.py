"""The infrastructure: settings in, three stacks out.

node            finds a Node for the CDK, before anything imports it
system          the app: settings → stacks → checks → a cloud assembly
storage         buckets and the job table
queues          the queues behind one job queue
description     the JSON that tells the library what was built
uploads         a file arrives → the function that makes a job
scheduler       once a minute, and the sweep
network         where workers run
workers         one Fargate service a job queue
scaling         how many workers a job queue has
permissions     every call that anything here may make
commands        every command of the library: the calls it takes, and whose it is
groups          the policies of those who give commands
functions       a Lambda function, as all of ours are
bundle          the functions' code, put together without Docker
checks          what is acknowledged to cdk-nag, and why
"""

from stacks.node import use_node

# The CDK starts its Node process when it is imported, so this comes before any such import.
use_node()
