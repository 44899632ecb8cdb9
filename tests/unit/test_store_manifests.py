"""The objects of the store that bodywork starts keep to what every pod of bodywork keeps to."""

from bodywork.artifacts.address import Address
from bodywork.targets.kubernetes import labels
from bodywork.targets.kubernetes.manifests import store
from bodywork.targets.kubernetes.manifests.bring import Wanted, brought, runs_read
from bodywork.targets.kubernetes.settings import Settings
from bodywork.targets.kubernetes.store.store import is_default

SETTINGS = Settings(namespace="iris", image="team/bodywork:{python}", store_image="team/s3:1")


def test_all_objects_are_labelled_as_ours_and_as_no_pipelines() -> None:
    made = [
        store.claim("iris"),
        store.service("iris"),
        store.deployment(SETTINGS),
        store.credential(store.READER, "iris", "id", "key"),
    ]
    for obj in made:
        assert labels.is_ours(obj)
        assert labels.PIPELINE not in obj["metadata"]["labels"]
        assert obj["metadata"]["namespace"] == "iris"


def test_it_has_one_writer_and_a_reader_with_another_key() -> None:
    spec = store.deployment(SETTINGS, ["registry"])["spec"]
    assert spec["strategy"] == {"type": "Recreate"}
    pod = spec["template"]["spec"]
    assert pod["automountServiceAccountToken"] is False
    assert pod["imagePullSecrets"] == [{"name": "registry"}]
    writer, reader = pod["containers"]
    assert "--readonly" in reader["command"] and "--readonly" not in writer["command"]
    secrets = [
        {one["valueFrom"]["secretKeyRef"]["name"] for one in server["env"] if "valueFrom" in one}
        for server in (writer, reader)
    ]
    assert secrets == [{store.WRITER}, {store.READER}]
    for server in (writer, reader):
        assert server["image"] == "team/s3:1"
        assert server["securityContext"]["readOnlyRootFilesystem"] is True
        assert server["resources"]["limits"] and server["resources"]["requests"]


def test_a_service_is_brought_what_it_reads_with_the_credential_that_only_reads() -> None:
    wanted = Wanted(name="model", file="model.joblib", key="iris/r-1/train/1/model", digest="file:00")
    container = brought([wanted], store.address("iris", store.READ_PORT), SETTINGS, secret=store.READER)
    assert container.image == "team/bodywork:3.12"
    assert container.secrets == (store.READER,)
    asked = container.variables["BODYWORK_BRING"]
    assert '"into": "/work/inputs/model/model.joblib"' in asked
    assert "http://bodywork-store.iris.svc:7071" in asked
    pods_own = brought([wanted], Address.parse("s3://models/iris"), SETTINGS, secret=None)
    assert pods_own.secrets == ()


def test_the_default_storage_class_is_told_by_its_annotation() -> None:
    default = {"storageclass.kubernetes.io/is-default-class": "true"}
    assert is_default({"metadata": {"annotations": default}})
    assert not is_default({"metadata": {}})


def test_the_runs_that_pods_fetch_from_are_known_from_their_deployment() -> None:
    wanted = Wanted(name="model", file="model.joblib", key="iris/r-1/train/1/model", digest="file:00")
    container = brought([wanted], store.address("iris", store.READ_PORT), SETTINGS, secret=store.READER)
    env = [{"name": name, "value": value} for name, value in container.variables.items()]
    plain = {"name": "other", "env": [{"name": "SECRET", "valueFrom": {}}]}
    pod = {"initContainers": [plain, {"name": "bring", "env": env}, {"name": "bare"}]}
    assert runs_read({"spec": {"template": {"spec": pod}}}) == {"r-1"}
    assert runs_read({"spec": {"template": {"spec": {}}}}) == set()
