"""The infrastructure as constructs: settings in, a running system out.

    with app_in(Path(__file__).parent) as app:
        RemoteJobSystem(app, "Jobs", settings=app.settings, worker=WorkerImage(folder=app.folder))

system          the construct: three stacks in an app, or all of it in a stack of yours
app             a CDK app whose errors are one line, with the checks of cdk-nag
existing        what your app brings: network, cluster, buckets, key, boundary
access          who else may submit, read, manage and work
system_metrics  the metrics of a system, for dashboards and alarms of yours
node            finds a Node for the CDK, before anything imports it
storage_part    the data that must not be lost
functions_part  the upload function and the scheduler
workers_part    a service for each queue
storage         buckets and the job table
queues          the queues behind one job queue
description     the JSON that tells the library what was built
uploads         a file arrives → a function makes a job of it
scheduler       the function that runs the tick and the sweep
network         where workers run
images          the images of the workers, built or from a registry
secrets         what ECS injects into the workers, and who may read it
rights          what the settings allow the tasks
workers         one Fargate service for each job queue
fleet           what the scheduler needs to scale the workers
alarms          the alarms, which are for people
permissions     the AWS calls that functions and workers may make
commands        the AWS calls of each command of the library, and the groups that may give it
groups          the IAM policies of the permission groups
functions       the base of all Lambda functions
bundle          the functions' code, from what is installed, without Docker
checks          the findings of cdk-nag that we accept, and why
"""

# First: importing the CDK starts its Node process, which this finds.
from remotejob.cdk import node as _node  # noqa: F401
from remotejob.cdk.app import RemoteJobApp, app_in
from remotejob.cdk.functions_part import FunctionsCode
from remotejob.cdk.images import RepositoryImage, WorkerImage
from remotejob.cdk.system import RemoteJobSystem

__all__ = [
    "FunctionsCode",
    "RemoteJobApp",
    "RemoteJobSystem",
    "RepositoryImage",
    "WorkerImage",
    "app_in",
]
