#!/usr/bin/env python3
"""Both ends of a job as other clients see them, against what the records of the job say.

  pairs.py FROM TO RECORDS.jsonl      exit 1 and say what is not so

Each object of FROM is at TO with the same bytes, content headers, metadata and time, and what is not is named in its
record (`not_carried`); or its record says that its name cannot be there, and it is not. Nothing else is at TO.
"""
import json
import os
import re
import sys

from world import LEFT_OUT, open_side


def words(record):
    return {word for note in record.get("not_carried") or [] for word in re.split(r"[ :,]", note.lower())}


def kept(key, there, name, before, after, told):
    """Whether a property is the same or named."""
    if before == after or name.lower() in told:
        return []
    return [f"{name} of {key!r} is {after!r} there, was {before!r}, and its record names {sorted(told)}"]


def one(o, got, record, to):
    told, key = words(record), o["key"]
    wrong = [] if (got["size"], got["sha256"]) == (o["size"], o["sha256"]) else [f"other bytes: {key!r}"]
    for name, value in o["headers"].items():
        # The ending of a file's name says its type.
        if not (to == "local" and name == "Content-Type"):
            wrong += kept(key, got, name, value, got["headers"].get(name), told)
    for name, value in o["meta"].items():
        wrong += kept(key, got, name, value, got["meta"].get(name), told)
    added = set(got["meta"]) - set(o["meta"]) - {"mtime"}
    if added and not told:
        wrong.append(f"{key!r} has {sorted(added)} out of nothing")
    if "mtime" in o:
        time = got.get("mtime") if to == "local" else float(got["meta"].get("mtime", 0))
        if int(time) != int(o["mtime"]):
            wrong.append(f"{key!r} is of {time}, was of {o['mtime']}")
    return wrong


def main(args):
    source, destination = json.loads(args[0]), json.loads(args[1])
    with open(args[2]) as f:
        records = {record["key"]: record for record in map(json.loads, f) if "outcome" in record}
    there = {o["key"]: o for o in open_side(args[1]).look()}
    wrong, refused, count = [], 0, 0
    for o in open_side(args[0]).look():
        key, count = o["key"], count + 1
        record, got = records.pop(key, None), there.pop(key, None)
        if record is None:
            wrong.append(f"no record of {key!r}")
        elif record["outcome"] != "succeeded":
            refused += 1
            if record.get("code") != "INVALID_NAME" or key not in LEFT_OUT.get(destination["type"], ()):
                wrong.append(f"{key!r} is {record['outcome']}: {record.get('code')} {record.get('message')}")
            if got is not None:
                wrong.append(f"{key!r} is there, and its record says {record['outcome']}")
        elif got is None and destination["type"] == "local" and key.endswith("/") and not o["size"]:
            if not os.path.isdir(os.path.join(destination["path"], key)):
                wrong.append(f"no directory: {key!r}")
        elif got is None:
            wrong.append(f"missing: {key!r}")
        else:
            wrong += one(o, got, record, destination["type"])
    wrong += [f"not expected: {key!r}" for key in there] + [f"a record of nothing: {key!r}" for key in records]
    print("\n".join(wrong[:40]))
    print(json.dumps({"objects": count, "refused": refused, "wrong": len(wrong)}))
    return 1 if wrong or count < 290 or refused > 12 else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
