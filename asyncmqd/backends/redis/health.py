"""What an administrator should know about a server's set-up, as far as INFO tells."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def concerns(memory: Sequence[bytes], persistence: Sequence[bytes]) -> list[str]:
    """The warnings that the answers of all masters to INFO give reason for, each once."""
    found = [warning for answer in memory for warning in _of_memory(_fields(answer))]
    found += [warning for answer in persistence for warning in _of_persistence(_fields(answer))]
    return list(dict.fromkeys(found))


def _fields(answer: bytes) -> dict[str, str]:
    lines = (line.partition(":") for line in answer.decode("utf-8", "replace").splitlines())
    return {name: value for name, _, value in lines}


def danger(memory: Sequence[bytes]) -> str:
    """Why some master may delete jobs at any moment; empty if none may. From answers to INFO."""
    for fields in map(_fields, memory):
        if fields.get("maxmemory", "0") != "0":
            return "".join(_of_memory(fields))
    return ""


def _of_memory(fields: dict[str, str]) -> Iterable[str]:
    # The volatile policies delete only keys that have a time to live, and jobs have none.
    policy = fields.get("maxmemory_policy", "")
    if policy.startswith("allkeys"):
        yield (
            f"maxmemory-policy is {policy}: the server may delete jobs when its memory is full;"
            " set it to noeviction"
        )


def _of_persistence(fields: dict[str, str]) -> Iterable[str]:
    # INFO does not tell the save points, and CONFIG GET is forbidden on many servers; but one that
    # never saved, or that has no append-only file, loses what was added since.
    if fields.get("aof_enabled") == "0":
        yield (
            "appendonly is off: jobs added since the last snapshot are lost if the server dies;"
            " set appendonly yes"
        )


def of_replicas(replication: Sequence[bytes], least: int) -> list[str]:
    """What `min_replicas` does not promise with the replicas that there are. From INFO.

    A promoted replica has what it confirmed itself. So all have to confirm, as long as it is not
    known which of them is promoted: while the old master lives the others go on confirming to it.
    """
    replicas = sum(int(_fields(each).get("connected_slaves", "0")) for each in replication)
    if least == replicas:
        return []
    found = f"min_replicas is {least} and the server has {replicas} replicas: "
    if least > replicas:
        return [f"{found}every enqueue fails"]
    lost = "jobs that it did not have yet" if not least else "jobs that others confirmed"
    return [f"{found}when one is promoted, {lost} may be lost; set min_replicas={replicas}"]
