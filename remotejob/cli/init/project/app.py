"""The CDK app: `cdk deploy --all`, or `python app.py` to check that it can be built."""

from pathlib import Path

from remotejob.cdk import RemoteJobSystem, WorkerImage, app_in

with app_in(Path(__file__).resolve().parent) as app:
    RemoteJobSystem(app, "Jobs", settings=app.settings, worker=WorkerImage(folder=app.folder))
