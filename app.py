"""The CDK app: `cdk deploy --all`, or `python app.py` with CDK_OUTDIR for the assembly alone."""

from remotejob.cdk import app_in
from stacks.system import ROOT, add_system

with app_in(ROOT) as app:
    add_system(app)
