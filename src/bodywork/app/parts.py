"""The composition root: makes each part of bodywork once, when it is first asked for."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from bodywork.app.home import Home

if TYPE_CHECKING:
    from bodywork.app.here.stores import Stores
    from bodywork.environment import Environments
    from bodywork.git import Git
    from bodywork.git.location import Credential
    from bodywork.history import History
    from bodywork.holdings import Holdings
    from bodywork.schedule.book import Book
    from bodywork.secret import Secrets
    from bodywork.targets.local.client import AgentClient
    from bodywork.targets.local.places import Places
    from bodywork.targets.local.target import LocalTarget
    from bodywork.targets.local.trees import Trees


class Parts:
    """Everything that a use case may need. Imports are late, so that `status` does not pay for `deploy`."""

    def __init__(self, ours: Mapping[str, str], *, note: Callable[[str], None] | None = None) -> None:
        self.ours = ours
        self.note = note or (lambda _: None)
        self.home = Home.find(ours)

    @cached_property
    def history(self) -> History:
        from bodywork.history import History

        self.home.make(cache=False)
        return History(self.home.database)

    @cached_property
    def book(self) -> Book:
        """The schedules of this machine."""
        from bodywork.database import Database
        from bodywork.history import MIGRATIONS
        from bodywork.schedule.book import Book

        self.home.make(cache=False)
        return Book(Database(self.home.database, MIGRATIONS, durable=True))

    @cached_property
    def git(self) -> Git:
        return self.git_with(None)

    def git_with(self, ssh_key: str | None, credential: Credential | None = None) -> Git:
        """git that opens repositories by ssh with the private key in this file alone; None: as ssh does.
        By the web, it gives `credential` to their host; None: the user's helpers answer.

        Raises NotFoundError and UsageError for a file that ssh would not take.
        """
        from bodywork.git import Git

        self.home.make()
        return Git(
            self.home.cache, environment=self.ours, progress=self.note, ssh_key=ssh_key, credential=credential
        )

    @cached_property
    def environments(self) -> Environments:
        from bodywork.environment import Environments

        self.home.make(cache=False)
        return Environments(locks=self.home.locks, cache=self.home.cache, environment=self.ours)

    @cached_property
    def holdings(self) -> Holdings:
        from bodywork.holdings import Holdings

        self.home.make(cache=False)
        return Holdings(self.home.database)

    @cached_property
    def stores(self) -> Stores:
        from bodywork.app.here.stores import Stores

        return Stores(self.home, self.holdings, self.secrets, self.ours)

    @cached_property
    def secrets(self) -> Secrets:
        from bodywork.secret import Secrets

        return Secrets(self.home.secrets)

    @cached_property
    def agent(self) -> AgentClient:
        from bodywork.targets.local.client import AgentClient

        return AgentClient(self.home.state, store=lambda: self.history)

    @cached_property
    def places(self) -> Places:
        from bodywork.targets.local.places import Places

        return Places(self.home.state)

    @cached_property
    def trees(self) -> Trees:
        from bodywork.targets.local.trees import Trees

        return Trees(self.home.cache / "trees")

    def local_target(
        self, *, tree: Path | None = None, pass_env: frozenset[str] = frozenset()
    ) -> LocalTarget:
        """The target `local`; `tree` holds the files of the commit that it will run."""
        from bodywork.targets.local.target import LocalTarget
        from bodywork.targets.local.workplace import Settings

        return LocalTarget(
            Settings(places=self.places, ours=self.ours, pass_env=pass_env),
            environments=self.environments,
            stores=self.stores.of_run,
            secrets=self.secrets,
            agent=self.agent,
            tree=tree,
        )

    @classmethod
    def ours_now(cls) -> dict[str, str]:
        return dict(os.environ)
