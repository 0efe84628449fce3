"""Keep jobs, files and queues of the embedded AWS across its starts.

Only data are kept: DynamoDB items, S3 objects and SQS messages. Everything else comes from the
templates at each start. So an update of the templates is a stop, and a start with the new ones.

`changes` reports every change to `journal`. Twice a second, `keeper` writes what has collected
there into `database` and `contents` (files with what is in the objects). At the start it reads them
back through `items`, `messages` and `objects`. `folder` knows the folder's lock and layout, and
`access` the port and the administrator's keys, which stay the same.
"""
