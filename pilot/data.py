"""Input and output files of a job: fetched and verified before its program, stored and confirmed after it.

The job's own token opens them; storage is reached over signed addresses that are asked for when they are needed.
"""

import glob
import json
import os
import time
from typing import Any, Dict, List, Optional, Tuple

from pilot import transfer
from pilot.calls import Away, Gateway, Refused
from pilot.jobtoken import JobToken
from pilot.log import say
from pilot.node import MIB, free_disk
from pilot.sandbox import inside
from pilot.watchdog import RESERVE_MB

AT_ONCE = 20  # files of one round: signed addresses are good for minutes
ELSEWHERE = ("se-unknown", "se-refuses", "storage-away", "storage-refused", "not-stored", "objects-away", "busy",
             "database-away", "deadline", "bus-away")  # fmt: skip
LIST = "inputs.json"  # what the program reads to find its inputs
Json = Dict[str, Any]


class Unfetched(Exception):
    """An input cannot be had as the catalogue has it."""


class Unmade(Exception):
    """The program did not write an output that it was to write."""


class Data:
    """The files of one attempt. `patience` ends tries: seconds, and an event that ends them early."""

    def __init__(self, gateway: Gateway, token: JobToken, description: Json, work: str) -> None:
        self._gateway, self._token = gateway, token
        self._description, self._work = description, work
        self._sources, self._until = {}, 0.0  # type: Dict[str, Json], float

    def fetch(self, patience: transfer.Patience) -> None:
        """Bring all inputs, and say in `inputs.json` where they are. Raises Unfetched, Away, Refused, OSError."""
        if not self._description.get("input_data"):
            return
        end, brought = time.monotonic() + patience.seconds, {}  # type: Any
        names = [str(name)[len("LFN:") :] for name in self._description["input_data"]]
        for number, lfn in enumerate(names):
            if "protocol" in str(self._description.get("input_data_policy") or "").lower():
                brought[lfn] = {"urls": [each["url"] for each in self._source(lfn, patience)["urls"]]}
            else:
                brought[lfn] = {"path": self._bring(number, lfn, end, patience)}
        with open(os.path.join(self._work, LIST), "w") as file:
            json.dump(brought, file, indent=1, sort_keys=True)

    def _source(self, lfn: str, patience: transfer.Patience) -> Json:
        if time.monotonic() > self._until:
            answer = self._ask("data/inputs", None, patience)
            self._sources = {each["lfn"]: each for each in answer.get("inputs") or []}
            self._until = time.monotonic() + float(answer.get("expires_in") or 60) / 3
        found = self._sources.get(lfn, {})
        if not found.get("urls"):
            error = found.get("error") or {}
            raise Unfetched("{}: {}".format(lfn, error.get("detail") or "no storage element gives it"))
        return found

    def _bring(self, number: int, lfn: str, end: float, patience: transfer.Patience) -> str:
        """One file, from the first storage element that has it as it should be."""
        path = os.path.basename(lfn)
        if os.path.lexists(os.path.join(self._work, path)):
            path = os.path.join("input{}".format(number), path)
            os.makedirs(os.path.dirname(os.path.join(self._work, path)), exist_ok=True)
        target, pauses = os.path.join(self._work, path), self._gateway.pauses()
        while True:
            found = self._source(lfn, patience)
            if found.get("size") and found["size"] > (free_disk(self._work) - RESERVE_MB) * MIB:
                raise OSError(28, "no room for {}".format(lfn))
            wrong = self._from_any(found, target, patience)
            if not wrong:
                return path
            pause, self._until = pauses.next(), 0.0
            if all(isinstance(each, (transfer.Wrong, Refused)) for each in wrong) or time.monotonic() + pause > end:
                raise Unfetched("{}: {}".format(lfn, "; ".join(map(str, wrong))))
            if patience.stop.wait(pause):
                raise Unfetched("{}: stopped".format(lfn))

    def _from_any(self, found: Json, target: str, patience: transfer.Patience) -> List[Exception]:
        """Try each address in turn; what was wrong with all of them, nothing when the file is there."""
        wrong = []  # type: List[Exception]
        once = transfer.Patience(0.0, patience.stop)
        for each in found["urls"]:
            try:
                transfer.download(
                    self._gateway,
                    each["url"],
                    target,
                    found.get("sha256") or "",
                    found.get("size"),
                    once,
                    found.get("adler32") or "",
                )
                return []
            except (transfer.Wrong, Away, Refused) as error:
                say("input-not-fetched", lfn=found["lfn"], se=each.get("se"), detail=error)
                wrong.append(error.__class__("{}: {}".format(each.get("se"), error))
                             if not isinstance(error, Refused) else error)  # fmt: skip
                if os.path.exists(target):
                    os.unlink(target)
        return wrong

    def store(self, patience: transfer.Patience) -> List[str]:
        """Store all outputs; the requests that are still to be done. Raises Unmade, Away, Refused, OSError."""
        left, pending, pauses = self.outputs(), [], self._gateway.pauses()  # type: Any
        avoid = {name: [] for name in left}  # type: Dict[str, List[str]]
        end = time.monotonic() + patience.seconds
        while left:
            failed = self._round({name: left[name] for name in sorted(left)[:AT_ONCE]}, left, avoid, pending, patience)
            if "se-unknown" in [code for code, _ in failed.values()]:  # none is left that was not tried
                avoid, pause = {name: [] for name in left}, pauses.next()
                if time.monotonic() + pause > end or patience.stop.wait(pause):
                    raise Away("; ".join("{}: {}".format(name, failed[name][1]) for name in sorted(failed)))
        return list(pending)

    def _round(
        self,
        files: Dict[str, str],
        left: Dict[str, str],
        avoid: Dict[str, List[str]],
        pending: List[str],
        patience: transfer.Patience,
    ) -> Dict[str, Tuple[str, str]]:
        """Announce, send and confirm some files; what is done leaves `left`. What failed, with its code and reason."""
        told = [dict(_summed(path), name=name, avoid=avoid[name]) for name, path in files.items()]
        failed, sent = {}, []  # type: Any
        for place in self._ask("data/outputs", {"files": told}, patience)["results"]:
            name, error = place["name"], place.get("error") or self._send(place, files[place["name"]], patience)
            if error:
                failed[name] = _judged(name, error)
                avoid[name] += [error["se"]] if error.get("se") else []
            elif place.get("kept"):
                left.pop(name)
            else:
                sent.append({"name": name, "se": place["se"]})
        done = self._ask("data/outputs/confirm", {"files": sent}, patience)["results"] if sent else []
        for result in done:
            if result.get("error"):
                failed[result["name"]] = _judged(result["name"], result["error"])
                avoid[result["name"]].append(result["se"])
            else:
                left.pop(result["name"])
                if result.get("request") and str(result["request"]) not in pending:
                    pending.append(str(result["request"]))
        return dict(failed)

    def _send(self, place: Json, path: str, patience: transfer.Patience) -> Optional[Json]:
        if not place.get("url"):
            return None
        try:
            once = transfer.Patience(0.0, patience.stop)
            transfer.upload(self._gateway, place["url"], place.get("fields") or {}, path, once)
            return None
        except (Away, Refused) as error:
            say("output-not-sent", lfn=place.get("lfn"), se=place["se"], detail=error)
            return {"code": "storage-refused", "se": place["se"], "detail": str(error)}

    def outputs(self) -> Dict[str, str]:
        """The files by the names under which they are announced. Raises Unmade."""
        files, missing = {}, []
        for wanted in self._description.get("output_data") or []:
            whole = wanted.startswith("LFN:")
            pattern = os.path.basename(wanted) if whole else wanted
            found = []
            for path in sorted(glob.glob(os.path.join(glob.escape(self._work), pattern), recursive=True)):
                name = os.path.relpath(path, self._work)
                if os.path.isfile(path) and inside(self._work, name):
                    found.append(name)
                    files[wanted if whole else name] = path
            if not found:
                missing.append(wanted)
        if missing:
            raise Unmade(", ".join(missing))
        return files

    def _ask(self, name: str, body: Optional[Json], patience: transfer.Patience) -> Json:
        def once(name: str, body: Json) -> Json:
            with open(self._token.path) as file:
                token = file.read()
            return self._gateway.for_job(token, name, body or None)

        return self._gateway.insist(name, body or {}, patience.seconds, patience.stop, once)


def _summed(path: str) -> Json:
    return {"size": os.path.getsize(path), "sha256": transfer.digest(path)}


def _judged(name: str, error: Json) -> Tuple[str, str]:
    """What is worth another try; anything else is said at once. Raises Refused."""
    code, detail = str(error.get("code")), str(error.get("detail"))
    if code not in ELSEWHERE:
        raise Refused(403, code, "{}: {}".format(name, detail))
    return code, detail
