"""Jobs with workers as a JobSet and as a PyTorchJob: what is sent."""

from __future__ import annotations

from mlo_entry import network
from mlo_submit.backends.kubernetes.manifest import render
from mlo_submit.env import Config
from mlo_submit.machine import Machine
from tests.unit.submit.conftest import ENV, config_of
from tests.unit.submit.kinds import a_job, made


def test_a_jobset_as_a_whole_manifest(laptop: Machine) -> None:
    """Its child is the Job that it would be otherwise, without retries: those start all ranks anew."""
    config = config_of(laptop, ENV + "MLO_QUEUE=team\nMLO_TTL_AFTER_FINISHED=1d\nMLO_PRIORITY_CLASS=train\n")
    found = made(config, "jobset", retries=3, time=60, grace=5)
    as_job = render(a_job(config, "job", time=60, grace=5))
    child = found["spec"].pop("replicatedJobs")
    assert found == {
        "apiVersion": "jobset.x-k8s.io/v1alpha2",
        "kind": "JobSet",
        "metadata": {
            **as_job["metadata"],
            "annotations": {
                "mlo-submit/submission": '{"argv": ["torchrun", "train.py"], "gpus": 4, "grace": 5, "kind": "jobset", '
                '"name": "x", "retries": 3, "time": 60, "workers": 2}'
            },
        },
        "spec": {
            "network": {"enableDNSHostnames": True, "publishNotReadyAddresses": True, "subdomain": "x"},
            "failurePolicy": {
                "maxRestarts": 3,
                "rules": [{"name": "final", "action": "FailJobSet", "onJobFailureReasons": ["PodFailurePolicy"]}],
            },
            "successPolicy": {"operator": "All"},
            "ttlSecondsAfterFinished": 86400,
        },
    }
    assert found["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "team"
    del as_job["spec"]["ttlSecondsAfterFinished"]
    env = as_job["spec"]["template"]["spec"]["containers"][0]["env"]
    next(each for each in env if each["name"] == "PET_MASTER_ADDR")["value"] = "x-ranks-0-0.x"
    assert child == [{"name": "ranks", "replicas": 1, "template": {"spec": as_job["spec"]}}]


def test_a_pytorchjob_as_a_whole_manifest(laptop: Machine) -> None:
    """The pods are those of a Job, with what the operator asks for and without what it does itself."""
    config = config_of(laptop, ENV + "MLO_QUEUE=team\nMLO_TTL_AFTER_FINISHED=1d\nMLO_PRIORITY_CLASS=train\n")
    found = made(config, "pytorchjob", retries=3, grace=5, port=8888)
    as_job = render(a_job(config, "job", grace=5, port=8888))
    template = as_job["spec"]["template"]
    for key in ("restartPolicy", "subdomain"):
        del template["spec"][key]
    (container,) = template["spec"]["containers"]
    set_by_the_operator = ("PET_NNODES", "PET_MASTER_ADDR")
    env = [each for each in container["env"] if each["name"] not in set_by_the_operator]
    container.update(name="pytorch", ports=[{"name": "job", "containerPort": 8888}], env=env)
    replica = {"restartPolicy": "OnFailure", "template": template}
    assert found["metadata"]["labels"] == as_job["metadata"]["labels"]
    assert {key: value for key, value in found.items() if key != "metadata"} == {
        "apiVersion": "kubeflow.org/v1",
        "kind": "PyTorchJob",
        "spec": {
            "nprocPerNode": "4",
            "runPolicy": {"cleanPodPolicy": "Running", "backoffLimit": 4, "ttlSecondsAfterFinished": 86400},
            "pytorchReplicaSpecs": {"Master": {"replicas": 1, **replica}, "Worker": {"replicas": 2, **replica}},
        },
    }


def test_a_pytorchjob_without_retries_is_never_started_again(config: Config) -> None:
    spec = made(config, "pytorchjob")["spec"]
    assert spec["runPolicy"] == {"cleanPodPolicy": "Running"}
    assert {each["restartPolicy"] for each in spec["pytorchReplicaSpecs"].values()} == {"Never"}


def test_the_ranks_of_a_jobset_know_of_each_other(config: Config) -> None:
    job = made(config, "jobset")["spec"]["replicatedJobs"][0]["template"]["spec"]["template"]
    given = {each["name"]: each["value"] for each in job["spec"]["containers"][0]["env"]}
    found = network.rendezvous({**given, "JOB_COMPLETION_INDEX": "2"})
    assert (found["RANK"], found["WORLD_SIZE"], found["MASTER_ADDR"]) == ("2", "12", "x-ranks-0-0.x")
