"""From a plan to objects: what bodywork asks Kubernetes for, as plain dicts that the server takes by apply.

Nothing here speaks to a cluster, and the same arguments give the same objects. One module a noun:

    launch.py      Launch: what the runtime in a stage's pod is told (BODYWORK_LAUNCH)
        Launch.of(plan, planned, lock, settings, *, digests, uploads, downloads, whole=True) -> Launch
        Launch.encode() -> str
    containers.py  InitContainer(name, image, command, variables={}, secrets=(), mounts=(), memory=...)
        fetched(plan, settings, *, credential=None) -> InitContainer      unpacks a big project
    source.py      Source: the files that all pods of a run are given
        gather(project, locks, *, wheels=None) -> Source      .name, .files, .whole
        source_secret(plan, source, settings) -> Object
    job.py         job_name(plan, stage, attempt) -> str
        job(plan, planned, settings, *, attempt, launch, source, variables={}, init=()) -> Object
    deployment.py  deployment(plan, planned, settings, *, launch, source, inputs, init=(), current=None)
            -> Object
        released(obj, *, url="", ready=..., replicas=..., reason="") -> ObservedService | None
    service.py     services(plan, planned, settings) -> list[Object]      one for each host name
    budget.py      disruption_budget(plan, planned, settings) -> Object | None
    autoscaler.py  autoscaler(plan, planned, settings) -> Object | None
    route.py       http_route(plan, planned, settings, *, gateways) -> Object | None
        ingress(plan, planned, settings, *, controller="") -> Object | None
    namespace.py   namespace(project, settings) -> Object
    controller.py  controller(plan, settings, *, variables={}) -> list[Object]   account, role, binding, Job

`source` is the name of the Secret that `source_secret` gives; `variables` are those that the engine
adds to a stage's environment.
"""
