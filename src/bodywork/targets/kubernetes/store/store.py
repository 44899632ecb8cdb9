"""Which store a pipeline has on Kubernetes, and what pods get of it.

A project that names one (`store: s3://...`) keeps its artifacts there; any other has the store that
bodywork starts in the namespace. Stages hold no credential: each gets URLs that were signed for its
own outputs and inputs. Services, whose pods restart for years, get their inputs by an init
container, with the credential of a Secret or the identity of their pod.

Keys are `<prefix>/<pipeline>/<run>/<stage>/<attempt>/<output>`: no two attempts share one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from bodywork.artifacts.address import SECRET as GIVEN
from bodywork.artifacts.address import Address
from bodywork.artifacts.client import require
from bodywork.artifacts.objects import ObjectStore
from bodywork.artifacts.pieces import Signed
from bodywork.errors import ForbiddenError, UnreachableError, UsageError
from bodywork.run.plan import Plan, PlannedStage
from bodywork.spec.model import Kind, Project
from bodywork.targets.kubernetes import labels
from bodywork.targets.kubernetes.client.api import Api
from bodywork.targets.kubernetes.kinds import PERSISTENT_VOLUME_CLAIM, SECRET, STORAGE_CLASS, Object
from bodywork.targets.kubernetes.manifests import store as manifests
from bodywork.targets.kubernetes.manifests.bring import Wanted, brought
from bodywork.targets.kubernetes.manifests.containers import InitContainer
from bodywork.targets.kubernetes.secrets.kept_secrets import is_kept
from bodywork.targets.kubernetes.settings import Settings
from bodywork.targets.kubernetes.store import store_server
from bodywork.targets.kubernetes.store.location import Location

GIVEN_READER = manifests.READER
"""Where there is one that only reads, services get this."""
KEPT_KEYS = {
    "s3": "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
    "gs": "GOOGLE_SERVICE_ACCOUNT_KEY",
    "az": "AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY",
}
"""What the Secret of a user has to hold."""
DEFAULT_CLASS = (
    "storageclass.kubernetes.io/is-default-class",
    "storageclass.beta.kubernetes.io/is-default-class",
)


@dataclass(frozen=True, kw_only=True)
class PipelineStore:
    """The store of one pipeline, ready for use. Signing asks nobody, but may wait for a credential.

    `reads` is the store as pods read it, `secret` what holds the credential for that (None: a
    pod's own identity).
    """

    pipeline: str
    signer: ObjectStore
    reads: Address
    secret: str | None

    def key(self, location: Location) -> str:
        """Under the address' prefix."""
        return location.key(self.pipeline)

    def upload(self, location: Location) -> Signed:
        """Where the stage puts what it has made; good for 7 days, or as long as the credential lasts."""
        return self.signer.sign_pieces("PUT", self.key(location))

    def download(self, location: Location) -> Signed:
        """Where a batch stage gets what it reads."""
        return self.signer.sign_pieces("GET", self.key(location))

    def bringing(
        self,
        planned: PlannedStage,
        files: Mapping[str, str],
        digests: Mapping[str, str],
        locations: Mapping[str, Location],
        settings: Settings,
    ) -> InitContainer:
        """The init container of a service; all three mappings are by input name, `files` are file names."""
        wanted = [
            Wanted(
                name=one.name,
                file=files[one.name],
                key=self.key(locations[one.name]),
                digest=digests[one.name],
            )
            for one in planned.stage.inputs
        ]
        return brought(wanted, self.reads, settings, secret=self.secret)


async def ensure(
    api: Api,
    plan: Plan,
    settings: Settings,
    variables: Mapping[str, str],
    *,
    note: Callable[[str], None] = lambda sentence: None,
) -> PipelineStore | None:
    """The store of a plan, started if it is ours and does not run; None: no stage needs one.

    `variables` are the command's own environment, for a store of the user's. Raises UsageError,
    StageError.
    """
    if not needed(plan):
        return None
    if plan.project.store is not None:
        return await _given(api, plan, plan.project.store, settings.namespace, variables, note)
    require()
    pulled = dict.fromkeys(name for one in plan.all_stages for name in one.stage.placement.image_pull_secrets)
    credential = await store_server.start(api, settings, pull_secrets=tuple(pulled), note=note)
    return PipelineStore(
        pipeline=plan.project.object_name,
        signer=ObjectStore(manifests.address(settings.namespace), credential),
        reads=manifests.address(settings.namespace, manifests.READ_PORT),
        secret=manifests.READER,
    )


def needed(plan: Plan) -> bool:
    """Whether any stage makes or reads an artifact."""
    return any(one.stage.outputs or one.stage.inputs for one in plan.all_stages)


async def lacks(api: Api, plan: Plan, settings: Settings, variables: Mapping[str, str]) -> str:
    """What the plan's artifacts need and is not there, as a sentence with a next step; "": nothing.

    Changes nothing.
    """
    if not needed(plan):
        return ""
    try:
        require()
        if plan.project.store is None:
            return await _lacks_room(api, settings.namespace)
        address = _reachable(plan.project.store)
        secret = await _given_secret(api, settings.namespace, GIVEN)
        signer = await asyncio.to_thread(_opened, address, secret, variables, patience=3.0)
        await _reading_secret(api, plan.project, settings.namespace, address)
        await asyncio.to_thread(signer.check)
    except UsageError as error:
        return f"{error.message}; {error.hint}" if error.hint else error.message
    except UnreachableError:  # by this machine; pods may well reach it
        return ""
    return ""


async def _lacks_room(api: Api, namespace: str) -> str:
    if await api.get(PERSISTENT_VOLUME_CLAIM, manifests.NAME, namespace) is not None:
        return ""
    try:
        classes = await api.list(STORAGE_CLASS)
    except ForbiddenError:  # it is of the whole cluster, and not for everybody to see
        return ""
    if any(is_default(one) for one in classes):
        return ""
    return (
        "the cluster has no default storage class, on which bodywork could start a store for artifacts; "
        "name a store of your own (`store: s3://...` in bodywork.yaml), or make a storage class the default"
    )


def is_default(storage_class: Object) -> bool:
    """Whether claims that name no class get this one."""
    annotations = storage_class["metadata"].get("annotations") or {}
    return any(annotations.get(name) == "true" for name in DEFAULT_CLASS)


async def _given(
    api: Api,
    plan: Plan,
    store: str,
    namespace: str,
    variables: Mapping[str, str],
    note: Callable[[str], None],
) -> PipelineStore:
    """The store that bodywork.yaml names."""
    address = _reachable(store)
    secret = await _given_secret(api, namespace, GIVEN)
    signer = await asyncio.to_thread(_opened, address, secret, variables)
    try:
        await asyncio.to_thread(signer.check)
    except UnreachableError as error:  # pods may well reach what this machine cannot
        note(error.message)
    return PipelineStore(
        pipeline=plan.project.object_name,
        signer=signer,
        reads=address,
        secret=await _reading_secret(api, plan.project, namespace, address),
    )


async def opened(api: Api, store: str, namespace: str, variables: Mapping[str, str]) -> ObjectStore:
    """The store that a bodywork.yaml names, for whoever reads from it on this machine."""
    secret = await _given_secret(api, namespace, GIVEN)
    return await asyncio.to_thread(_opened, _reachable(store), secret, variables)


def _reachable(store: str) -> Address:
    address = Address.parse(store)
    if address.scheme == "file":
        raise UsageError(
            f"pods cannot reach the folder {address.prefix} (`store:` in bodywork.yaml)",
            hint="name a bucket, or none: bodywork then starts a store in the namespace",
        )
    return address


def _opened(
    address: Address,
    secret: Mapping[str, str] | None,
    variables: Mapping[str, str],
    *,
    patience: float = 10.0,
) -> ObjectStore:
    """With what the Secret holds, else as the clouds' own tools here would open it."""
    return ObjectStore(address, variables if secret is None else secret, patience=patience)


async def _given_secret(api: Api, namespace: str, name: str) -> dict[str, str] | None:
    """The content of a Secret that a user has made, by `bodywork secret set` or otherwise."""
    found = await api.get(SECRET, name, namespace)
    if found is None or (labels.is_ours(found) and not is_kept(found)):
        return None
    return store_server.decoded(found)


async def _reading_secret(api: Api, project: Project, namespace: str, address: Address) -> str | None:
    """The Secret with which services read; None where no service does, or its pods have an identity.

    The command's own credential never gets into the cluster: it is a person's, and may soon end.
    """
    readers = [one for one in project.stages if one.kind is Kind.SERVICE and one.inputs]
    if not readers:
        return None
    for name in (GIVEN_READER, GIVEN):
        if await _given_secret(api, namespace, name) is not None:
            return name
    for stage in readers:
        if stage.placement.service_account is None:
            raise UsageError(
                f"the pods of service {stage.name} read from {address} and need a credential that lasts",
                hint=f"set {KEPT_KEYS[address.scheme]}: bodywork secret set {GIVEN} KEY "
                f"--target kubernetes --namespace {namespace}; "
                "or give them a service account with that right (kubernetes.service_account)",
            )
    return None
