"""What proves to the cluster who asks, kept fresh: tokens rotate, and plugins give new ones."""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from bodywork.errors import UsageError
from bodywork.targets.kubernetes.client.access import Certificate, User
from bodywork.targets.kubernetes.client.plugin import Credential, ask

_LEEWAY = 10.0  # seconds before its end from which a credential is not used any more


@dataclass(frozen=True, kw_only=True)
class Proof:
    """Goes with a request: headers, and the certificate of the connection."""

    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    certificate: Certificate | None = None


class Credentials:
    """The credentials of one user."""

    def __init__(self, user: User, environment: Mapping[str, str]) -> None:
        self._user = user
        self._environment = environment
        self._given: Credential | None = None
        self._asking = asyncio.Lock()

    async def proof(self) -> Proof:
        """What to send now. Raises UsageError, MachineError, LoginError when it cannot be had."""
        user = self._user
        if user.token_file or user.token:
            return self._with(_bearer(self._token()))
        if user.password:
            return self._with("Basic " + base64.b64encode(":".join(user.password).encode()).decode())
        if user.plugin:
            given = await self._plugins()
            return self._with(_bearer(given.token) if given.token else None, given.certificate)
        return self._with(None)

    async def renewed(self, refused: Proof) -> Proof | None:
        """A newer proof than the one that the cluster has refused; None: there is none."""
        if self._user.plugin:
            async with self._asking:
                if self._given is not None and self._is(refused, self._given):
                    self._given = None
        found = await self.proof()
        return None if found == refused else found

    def _with(self, authorization: str | None, certificate: Certificate | None = None) -> Proof:
        shown = (("Authorization", authorization),) if authorization else ()
        return Proof(
            headers=(*shown, *self._user.acting_as), certificate=certificate or self._user.certificate
        )

    def _token(self) -> str:
        """The file's, read anew each time (a kubelet rotates it), else the fixed one."""
        user = self._user
        if user.token_file is None:
            return user.token or ""
        try:
            return user.token_file.read_text().strip()
        except OSError as error:
            if user.token:
                return user.token
            raise UsageError(
                f"the token of user `{user.name}` cannot be read from {user.token_file}: {error.strerror}",
                hint="correct `tokenFile` in the kubeconfig",
            ) from error

    async def _plugins(self) -> Credential:
        """The plugin's credential, asked for once for all requests that wait for it."""
        assert self._user.plugin is not None
        async with self._asking:
            given = self._given
            if given is None or (given.expires is not None and given.expires - _LEEWAY < time.time()):
                given = self._given = await ask(self._user.plugin, self._user, self._environment)
            return given

    def _is(self, proof: Proof, given: Credential) -> bool:
        sent = ("Authorization", _bearer(given.token)) in proof.headers if given.token else True
        return sent and proof.certificate == (given.certificate or self._user.certificate)


def _bearer(token: str) -> str:
    return f"Bearer {token}"
