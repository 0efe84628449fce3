"""The infrastructure: settings in, three stacks out.

node            finds a Node for the CDK, before anything imports it
system          the app: settings → stacks → checks → a cloud assembly
storage         buckets and the job table
queues          the queues behind one job queue
description     the JSON that tells the library what was built
uploads         a file arrives → a function makes a job of it
scheduler       the function that runs the tick and the sweep
network         where workers run
workers         one Fargate service for each job queue
scaling         how many workers a job queue has
permissions     the AWS calls that functions and workers may make
commands        the AWS calls of each command of the library, and the groups that may give it
groups          the IAM policies of the permission groups
functions       the base of all Lambda functions
bundle          the functions' code, built without Docker
checks          the findings of cdk-nag that we accept, and why
"""

from stacks.node import use_node

# Importing the CDK starts its Node process, so this comes before any such import.
use_node()
