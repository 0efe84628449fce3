"""Who else may use a system: roles and users of somebody's own CDK app."""

from __future__ import annotations

from collections.abc import Iterable

from aws_cdk import Stack, Token
from aws_cdk import aws_iam as iam

from remotejob.cdk.commands import FIND, Group, grants_of, grants_of_readers
from remotejob.cdk.grants import Grant
from remotejob.cdk.permissions import permit
from remotejob.cdk.storage_part import StoragePart
from remotejob.cdk.workers_part import permit_work
from remotejob.domain.errors import SettingsError
from remotejob.settings import Settings


class Access:
    """Gives the rights of docs/permissions.md to a principal, as statements of its own policy.

    Raises: SettingsError, for a principal without a policy, or of another account.
    """

    _settings: Settings
    storage: StoragePart

    def grant_submit(self, grantee: iam.IGrantable) -> None:
        """Let it submit jobs, keep files, hear of ends, and read results: the group creator."""
        self._grant(grantee, grants_of(Group.CREATOR))

    def grant_read(self, grantee: iam.IGrantable) -> None:
        """Let it read jobs, their logs and files, and change nothing."""
        self._grant(grantee, grants_of_readers())

    def grant_manage(self, grantee: iam.IGrantable) -> None:
        """Let it pause, cancel, restart and remove jobs: the group manager."""
        self._grant(grantee, grants_of(Group.MANAGER))

    def grant_work(self, grantee: iam.IGrantable, *, queue: str | None = None) -> None:
        """Let it run jobs: by hand, or as a worker of yours, such as a machine with a GPU.

        queue: default all queues, as workers and by hand. With a name, as a worker of that queue
        alone. Either way it may change the record of any job, as deployed workers may.

        Raises: SettingsError, for a queue that the settings don't have.
        """
        queues = self._settings.queues
        if queue is not None and queue not in queues:
            raise SettingsError(
                f"grant_work(queue={queue!r}): the settings have no such queue; name one of"
                f" {', '.join(queues)}"
            )
        self._refuse_foreign(grantee)
        for name in queues if queue is None else [queue]:
            permit_work(grantee, name, self._settings, self.storage)
        # a worker by hand finds the system by its name, or by its parameter
        self._grant(grantee, FIND if queue is not None else grants_of(Group.WORKER))

    def _grant(self, grantee: iam.IGrantable, grants: Iterable[Grant]) -> None:
        self._refuse_foreign(grantee)
        grants = tuple(grants)
        groups = self.storage.groups
        groups.acknowledge(permit(grantee, groups.statements(grants)), grants)

    def _refuse_foreign(self, grantee: iam.IGrantable) -> None:
        """A policy of another account would be left as it is without a word, or give nothing."""
        account = grantee.grant_principal.principal_account
        here = Stack.of(self.storage.table).account
        if account is None or Token.is_unresolved(account) or Token.is_unresolved(here):
            return
        if account != here:
            raise SettingsError(
                f"a grant to a principal of account {account}: the system is in account {here}, and"
                " no policy there gives rights here; grant to a role of this account that it may"
                " assume"
            )
