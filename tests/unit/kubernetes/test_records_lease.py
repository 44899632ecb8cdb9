"""Who holds a pipeline, and for how long nothing was heard of it."""

import os
import subprocess

from bodywork.process.identity import identity
from bodywork.targets.kubernetes.lease import lease_object
from bodywork.targets.kubernetes.lease.holder import Identity, _runs
from bodywork.targets.kubernetes.lease.lease_object import held, holder_of, released, renewed
from bodywork.targets.kubernetes.lease.silence import Silence

ME = Identity.of_this_process()
LEASE = held(None, namespace="n", pipeline="iris", run="r1", identity=ME, token="t1")


def test_a_lease_names_its_run_and_its_holder() -> None:
    holder = holder_of(LEASE)
    assert holder is not None
    assert (holder.run, holder.identity, holder.token) == ("r1", ME, "t1")
    assert holder.who.startswith(f"process {os.getpid()} on ")
    assert holder.since > 1_700_000_000
    assert LEASE["metadata"]["name"] == "run-lock-iris"


def test_a_lease_that_was_given_back_is_free() -> None:
    assert holder_of(released(LEASE)) is None
    assert holder_of(None) is None


def test_a_lease_of_somebody_else_has_a_holder_too() -> None:
    holder = holder_of({"metadata": {"name": "x"}, "spec": {"holderIdentity": "admin"}})
    assert holder is not None
    assert (holder.who, holder.run, holder.identity.machine) == ("admin", "", "")


def test_a_renewal_changes_the_mark_and_nothing_else() -> None:
    before, after = holder_of(LEASE), holder_of(renewed(LEASE))
    assert before is not None
    assert after is not None
    assert before.mark != after.mark
    assert before.token == after.token


def test_a_wish_to_stop_is_for_one_hold_only() -> None:
    notes = LEASE["metadata"]["annotations"]
    wish = {**LEASE, "metadata": {**LEASE["metadata"], "annotations": {**notes, lease_object.STOP: "t1"}}}
    assert lease_object.asked_to_stop(wish)
    assert not lease_object.asked_to_stop(LEASE)
    wish["metadata"]["annotations"][lease_object.TOKEN] = "t2"
    assert not lease_object.asked_to_stop(wish)


def test_an_identity_is_read_back_and_anything_else_is_a_name() -> None:
    assert Identity.decode(ME.encode(), "x") == ME
    pod = Identity.of_pod("ns", "controller-1", "u-1")
    assert Identity.decode(pod.encode(), "x") == pod
    assert Identity.decode("{broken", "somebody") == Identity(who="somebody")
    assert Identity.decode('{"who": "w", "later": 1}', "x") == Identity(who="w")


def test_a_process_that_has_ended_is_known_to_be_gone() -> None:
    process = subprocess.Popen(["sleep", "60"])
    key = identity(process.pid) or ""
    assert _runs(key)
    assert not _runs(f"{process.pid}:1")  # the pid is used again
    process.kill()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert not _runs(key)  # a zombie does not run
    process.wait()
    assert not _runs(key)


def test_silence_counts_only_while_we_could_look() -> None:
    silence = Silence()
    for at in range(10):
        silence.see("a", float(at))
    assert (silence.seconds, silence.moved) == (9.0, False)
    silence.see("a", 70.0)  # the API server was away: the holder could not renew, either
    assert silence.seconds == 0.0
    silence.see("a", 71.0)
    assert silence.seconds == 1.0
    silence.see("b", 72.0)
    assert (silence.seconds, silence.moved) == (0.0, True)
