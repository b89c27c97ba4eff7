"""Owns what DBOS writes and reads of ours: JSON, and never a pickle, whoever wrote it."""

import json
from typing import Any

from dbos import Serializer
from dbos import _serialization as builtin


class WorkflowFailed(Exception):
    """An error that was kept with a workflow of DBOS: what it was, in words."""


class JsonSerializer(Serializer):
    """Values as JSON; an exception is kept as its words and comes back as WorkflowFailed."""

    def serialize(self, data: Any) -> str:
        """Write a value; raises TypeError for one that JSON has not."""
        if isinstance(data, BaseException):
            data = {"error": f"{type(data).__name__}: {data}"[:1000]}
            return json.dumps({"raised": data})
        return json.dumps({"value": data})

    def deserialize(self, serialized_data: str) -> Any:
        """Read what `serialize` wrote; raises ValueError for anything else."""
        read = json.loads(serialized_data)
        if "raised" in read:
            return WorkflowFailed(read["raised"]["error"])
        return read["value"]

    def name(self) -> str:
        """The name that is kept beside each value."""
        return "hardpoint_json"


_NO_PICKLE = "pickles are neither read nor written: reading one runs code of whoever wrote it"


class _Refusing(Serializer):
    def serialize(self, _data: Any) -> str:
        raise TypeError(_NO_PICKLE)

    def deserialize(self, _serialized_data: str) -> Any:
        raise TypeError(_NO_PICKLE)

    def name(self) -> str:
        return "py_pickle"


def refuse_pickles() -> None:
    """Have DBOS read no pickle in this process.

    Each value has the name of its format beside it, and DBOS would read one that is called a pickle as such, whatever
    serializer it was given: who can write to its tables could run code here.
    """
    builtin.DBOSDefaultSerializer = _Refusing()
