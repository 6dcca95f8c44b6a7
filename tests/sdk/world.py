#!/usr/bin/env python3
"""A set of objects, put at one end and looked at from the other end by clients that are not ours.

  world.py seed  SIDE PLAN          put the plan's objects there
  world.py look  SIDE               one JSON line an object: key, size, sha256, headers, meta
  world.py compare SIDE PLAN [--absent KEYS.json] [--bare]
                                    exit 1 and say how it differs; KEYS.json: keys that must not be there,
                                    --bare: headers and metadata cannot be kept there

SIDE is a JSON text: {"type":"local","path":"/d/"}, {"type":"http","path":"/d/","origin":…} (a web server with files) or {"type":"s3"|"oss"|"cos"|"bos"|"ks3"|"qiniu"|"youpai"|"azure","endpoint":…,
"region":…,"bucket":…,"access_key":…,"secret_key":…,"prefix":…}. PLAN: mixed:N[:MAX] | small:N | awkward[:KIND…] |
vendors:N[:KIND…] | pairs:N:KIND | travel:N[:oss] | odd:N | big:N:BYTES | faults:N | file.json; a KIND leaves out what that end cannot hold
"""
import hashlib
import json
import os
import random
import sys
from concurrent.futures import ThreadPoolExecutor

AWKWARD = [
    "a//b", "/a", " a ", "dir/", "dir/x", "with-content/", "a+b&c=d%20e?#", "emoji-\U0001f600/\u4e2d\u6587.txt",
    "k" * 1000 + "/" + "l" * 22, "control-\x01-char", "tab\tkey", "newline\nkey", ".", "..", "a/./b", "a/../b",
    "../x", "..hidden", "%2F", "back\\slash", "quote\"'<>&amp;", "trailing ", "~tilde", "e\u0301-nfd", "\u00e9-nfc",
    "d1/z", "d1-x", "d1.x", "d10",
]
# What a file system cannot hold, and what the services refuse or their SDKs rewrite on the way.
NOT_LOCAL = {"a//b", "/a", "with-content/", ".", "..", "a/./b", "a/../b", "../x", "dir/", "k" * 1000 + "/" + "l" * 22}
NOT_YOUPAI = (NOT_LOCAL - {"dir/"}) | {"tab\tkey", "newline\nkey"}
NOT_OSS = {"/a", ".", "..", "a/./b", "a/../b", "../x"}
# What Azure would change, or does not allow in names.
NOT_AZURE = {".", "..", "a/./b", "a/../b", "../x", "control-\x01-char", "tab\tkey", "newline\nkey", "back\\slash"}
NOT_KS3 = NOT_OSS - {"/a"}
# What a line of a list cannot say, or says of another object.
NOT_HTTP = NOT_LOCAL | {" a ", "trailing ", "newline\nkey", "%2F", "a+b&c=d%20e?#"}
LONG = "k" * 1000 + "/" + "l" * 22
LEFT_OUT = {"local": NOT_LOCAL, "oss": NOT_OSS, "cos": NOT_OSS | {LONG}, "bos": NOT_OSS, "ks3": NOT_KS3, "qiniu": NOT_KS3 | {LONG},
            "dots": NOT_KS3, "youpai": NOT_YOUPAI, "azure": NOT_AZURE, "http": NOT_HTTP}


def data(key, size):
    """The bytes of an object: a function of its key and size alone."""
    source, step = random.Random(key), 64 << 20  # randbytes() takes less than 256 MiB at once
    return b"".join(source.randbytes(min(step, size - at)) for at in range(0, size, step))


def plan(text):
    """[{"key","size","headers","meta"}]"""
    kind, *args = text.split(":")
    if text.endswith(".json"):
        with open(text) as f:
            return json.load(f)
    if kind == "small":
        return [one(f"small/d{i % 37:02d}/o-{i:06d}.bin", 1 + i % 4096) for i in range(int(args[0]))]
    if kind == "faults":
        return plan("small:" + args[0]) + plan(f"big:1:{12 << 20}")
    if kind == "flow":
        sizes = [1 + i % 4096 for i in range(600)] + [400_000] * 60 + [12 << 20] * 4
        return [one(f"flow/{i % 7}/o-{i:04d}.bin", size) for i, size in enumerate(sizes)]
    if kind == "big":
        return [one(f"big/{i}.bin", int(args[1])) for i in range(int(args[0]))]
    if kind == "awkward":
        left_out = set().union(*(LEFT_OUT.get(arg, set()) for arg in args))
        return [one(k, 0 if k == "dir/" else 100 + i, i) for i, k in enumerate(AWKWARD) if k not in left_out]
    if kind == "vendors":
        out = plan(":".join(["awkward", *args[1:]])) + [one("two-parts", 9 << 20, 2), one("three-parts", 12 << 20, 1)]
        out += plan(f"mixed:{int(args[0]) - len(out)}:{1 << 20}")
        for o in out if "bos" in args else []:
            # Its SDK cannot send it.
            o["headers"].pop("Content-Language", None)
        return out
    if kind == "pairs":  # everything that the source can hold, and the SDKs at the other end can ask for
        out = plan(":".join(["vendors", *args, "dots"]))
        for i, o in enumerate(out):
            o["mtime"] = 1_600_000_000 + 60 * i
            if "azure" in args and "owner-id" in o["meta"]:
                o["meta"]["owner"] = o["meta"].pop("owner-id")
        return out
    if kind == "odd":  # awkward paths and sizes around every border, that every kind of end can hold
        names = [k for k in AWKWARD if k not in NOT_LOCAL | NOT_YOUPAI and not k.endswith("/")]
        sizes = [0, 1, 2, 4095, 65535, 65536, (1 << 20) - 1, 1 << 20, (1 << 20) + 1, (5 << 20) + 3, 12 << 20]
        return [one(f"d{i % 9}/{i % 4}-{names[i % len(names)]}/o {i:03d}{names[i * 7 % len(names)].replace('/', '!')}",
                    sizes[i] if i < len(sizes) else (i * 7919) % 9000, i) for i in range(int(args[0]))]
    if kind == "travel":
        # Names of metadata that every service holds.
        out = plan("awkward:azure:oss") if args[1:] == ["oss"] else plan("awkward:azure")
        sizes = [0, 1, 65535, (5 << 20) - 1, 5 << 20, (5 << 20) + 1, 10 << 20, (10 << 20) + 1, 23 << 20]
        sizes += [(i * 7919) % 9000 for i in range(len(sizes), int(args[0]) - len(out))]
        out += [one(f"t{i % 5}/file {i:04d}.bin", size, i) for i, size in enumerate(sizes)]
        for i, o in enumerate(out):
            o["meta"] = {"color": "blue green", "owner": str(i), "z9": "a=b;c%20"} if i % 3 == 1 else {}
        return out
    if kind == "mixed":
        n, most = int(args[0]), int(args[1]) if len(args) > 1 else 300 << 20
        r = random.Random(text)
        sizes = [0, 1, 2, 65535, 65536, 1 << 20, (16 << 20) - 1, 16 << 20, (64 << 20) + 1, 300 << 20]
        out = []
        for i in range(n):
            size = sizes[i] if i < len(sizes) else int(r.lognormvariate(8, 2))
            ending = [".txt", ".html", ".jpg", "", ".tar.gz", ".json"][i % 6]
            out.append(one(f"m{i % 7}/sub-{i % 11}/file {i:05d}{ending}", min(size, most), i))
        return out
    raise SystemExit(f"unknown plan {text}")


def one(key, size, i=0):
    headers, meta = {"Content-Type": "application/x-test"}, {}
    if i % 5 == 1:
        headers.update({"Content-Encoding": "identity", "Cache-Control": "max-age=60"})
    if i % 5 == 2:
        headers.update({"Content-Disposition": 'attachment; filename="x y.bin"', "Content-Language": "de"})
    if i % 3 == 1:
        meta = {"color": "blue green", "owner-id": str(i)}
    return {"key": key, "size": size, "headers": headers, "meta": meta}


class Local:
    def __init__(self, side):
        self.root = side["path"]

    def put(self, o):
        path = os.path.join(self.root, o["key"])
        if o["key"].endswith("/"):
            os.makedirs(path, exist_ok=True)
            return
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as f:
            f.write(data(o["key"], o["size"]))
        if "mtime" in o:
            os.utime(path, (o["mtime"], o["mtime"]))

    def look(self):
        for folder, names, files in os.walk(self.root):
            names.sort()
            for name in sorted(files):
                path = os.path.join(folder, name)
                with open(path, "rb") as f:
                    digest = hashlib.file_digest(f, "sha256").hexdigest()
                yield {"key": os.path.relpath(path, self.root), "size": os.path.getsize(path), "sha256": digest,
                       "headers": {}, "meta": {}, "mtime": os.path.getmtime(path)}
            if not names and not files and folder != self.root.rstrip("/"):
                yield {"key": os.path.relpath(folder, self.root) + "/", "size": 0,
                       "sha256": hashlib.sha256(b"").hexdigest(), "headers": {}, "meta": {}}


class Http(Local):
    """Files as a web server gives them."""

    def __init__(self, side):
        super().__init__(side)
        self.origin = side["origin"]

    def look(self):
        import requests
        from urllib.parse import quote
        for o in super().look():
            if o["key"].endswith("/"):
                continue
            got = requests.get(self.origin + quote(o["key"]))
            assert got.status_code == 200 and hashlib.sha256(got.content).hexdigest() == o["sha256"], o["key"]
            yield dict(o, headers={name: got.headers[name] for name in S3.KEPT if name in got.headers})


class S3:
    KEPT = {"Content-Type": "ContentType", "Content-Encoding": "ContentEncoding", "Cache-Control": "CacheControl",
            "Content-Disposition": "ContentDisposition", "Content-Language": "ContentLanguage"}

    def __init__(self, side):
        import boto3
        from botocore.config import Config
        self.bucket, self.prefix = side["bucket"], side.get("prefix", "")
        self.c = boto3.client("s3", endpoint_url=side["endpoint"], aws_access_key_id=side["access_key"],
                              aws_secret_access_key=side["secret_key"], region_name=side.get("region", "us-east-1"),
                              config=Config(s3={"addressing_style": "path"}, max_pool_connections=32,
                                            request_checksum_calculation="when_required",
                                            response_checksum_validation="when_required",
                                            retries={"max_attempts": 8}))
        try:
            self.c.create_bucket(Bucket=self.bucket)
        except self.c.exceptions.ClientError:
            pass

    def put(self, o):
        extra = {self.KEPT[k]: v for k, v in o["headers"].items()}
        self.c.put_object(Bucket=self.bucket, Key=self.prefix + o["key"], Body=data(o["key"], o["size"]),
                          Metadata=o["meta"], **extra)

    def look(self):
        pages = self.c.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=self.prefix)
        keys = [e["Key"] for page in pages for e in page.get("Contents", [])]
        with ThreadPoolExecutor(8) as pool:
            yield from pool.map(self.one, keys)

    def one(self, key):
        got = self.c.get_object(Bucket=self.bucket, Key=key)
        digest, size = hashlib.sha256(), 0
        for chunk in got["Body"].iter_chunks(1 << 20):
            digest.update(chunk)
            size += len(chunk)
        return {"key": key[len(self.prefix):], "size": size, "sha256": digest.hexdigest(),
                "headers": {header: got[name] for header, name in self.KEPT.items() if name in got},
                "meta": got["Metadata"]}


class Oss:
    def __init__(self, side):
        import oss2
        self.oss2 = oss2
        self.prefix = side.get("prefix", "")
        auth = oss2.AuthV4(side["access_key"], side["secret_key"])
        self.b = oss2.Bucket(auth, side["endpoint"], side["bucket"], region=side.get("region", "cn-test"))

    def put(self, o):
        headers = dict(o["headers"], **{"x-oss-meta-" + k: v for k, v in o["meta"].items()})
        self.b.put_object(self.prefix + o["key"], data(o["key"], o["size"]), headers=headers)

    def look(self):
        for e in self.oss2.ObjectIteratorV2(self.b, prefix=self.prefix):
            got = self.b.get_object(e.key)
            digest, size = hashlib.sha256(), 0
            for chunk in iter(lambda: got.read(1 << 20), b""):
                digest.update(chunk)
                size += len(chunk)
            h = got.headers
            kept = ("Content-Type", "Content-Encoding", "Content-Disposition", "Content-Language", "Cache-Control")
            yield {"key": e.key[len(self.prefix):], "size": size, "sha256": digest.hexdigest(),
                   "headers": {k: h[k] for k in kept if k in h},
                   "meta": {k[11:].lower(): v for k, v in h.items() if k.lower().startswith("x-oss-meta-")}}


class Upyun:
    """Content headers but the type have no home there."""

    def __init__(self, side):
        import upyun
        self.prefix = side.get("prefix", "")
        self.c = upyun.UpYun(side["bucket"], side["access_key"], side["secret_key"],
                             endpoint=side["endpoint"].split("://")[1])

    def put(self, o):
        if o["key"].endswith("/"):
            # One that holds something is there by now.
            from upyun.modules.exception import UpYunServiceException
            try:
                return self.c.mkdir("/" + self.prefix + o["key"])
            except UpYunServiceException as error:
                assert "40600002" in str(error), error
                return None
        headers = {"X-Upyun-Meta-" + k: v for k, v in o["meta"].items()}
        headers["Content-Type"] = o["headers"]["Content-Type"]
        self.c.put("/" + self.prefix + o["key"], data(o["key"], o["size"]), checksum=True, headers=headers)

    def look(self):
        with ThreadPoolExecutor(8) as pool:
            yield from pool.map(self.one, list(self.paths(self.prefix)))

    def paths(self, folder):
        begin, found = None, 0
        while begin != "g2gCZAAEbmV4dGQAA2VvZg":
            page = self.c.get_list_with_iter("/" + folder, limit=1000, begin=begin)
            begin, found = page["iter"], found + len(page["files"])
            for entry in page["files"]:
                path = folder + entry["name"]
                if entry["type"] == "F":
                    yield from self.paths(path + "/")
                else:
                    yield path
        if not found and folder != self.prefix:
            yield folder

    def one(self, path):
        import io
        info = self.c.getinfo("/" + path.rstrip("/"))
        out = io.BytesIO()
        if not path.endswith("/"):
            self.c.get("/" + path, out)
        body = out.getvalue()
        assert path.endswith("/") or info["content-md5"] == hashlib.md5(body).hexdigest(), path
        head = {k.lower(): v for k, v in self.c.up_rest.do_http_request("HEAD", "/" + path)}
        kept = {"Content-Type": head["content-type"]} if "content-type" in head else {}
        return {"key": path[len(self.prefix):], "size": len(body), "sha256": hashlib.sha256(body).hexdigest(), "headers": kept,
                "meta": {k[5:]: v for k, v in info.items() if k.startswith("meta-")}}


class Azure:
    KEPT = {"Content-Type": "content_type", "Content-Encoding": "content_encoding", "Cache-Control": "cache_control",
            "Content-Disposition": "content_disposition", "Content-Language": "content_language"}

    def __init__(self, side):
        from azure.core.exceptions import ResourceExistsError
        from azure.storage.blob import BlobServiceClient, ContentSettings
        self.settings, self.prefix = ContentSettings, side.get("prefix", "")
        credential = {"account_name": side["access_key"], "account_key": side["secret_key"]}
        self.c = BlobServiceClient(side["endpoint"], credential=credential).get_container_client(side["bucket"])
        try:
            self.c.create_container()
        except ResourceExistsError:
            pass

    def put(self, o):
        settings = self.settings(**{self.KEPT[name]: value for name, value in o["headers"].items()})
        self.c.upload_blob(self.prefix + o["key"], data(o["key"], o["size"]), overwrite=True, metadata=o["meta"],
                           content_settings=settings)

    def look(self):
        names = [blob.name for blob in self.c.list_blobs(name_starts_with=self.prefix)]
        with ThreadPoolExecutor(8) as pool:
            yield from pool.map(self.one, names)

    def one(self, name):
        got = self.c.download_blob(name)
        digest, size = hashlib.sha256(), 0
        for chunk in got.chunks():
            digest.update(chunk)
            size += len(chunk)
        kept = {header: got.properties.content_settings[field] for header, field in self.KEPT.items()}
        return {"key": name[len(self.prefix):], "size": size, "sha256": digest.hexdigest(),
                "headers": {name: value for name, value in kept.items() if value}, "meta": got.properties.metadata}


def open_side(text):
    side = json.loads(text)
    vendor = {"cos": "Cos", "bos": "Bos", "ks3": "Ks3", "qiniu": "Qiniu"}.get(side["type"])
    if vendor:
        import world_vendors
        return getattr(world_vendors, vendor)(side, data)
    return {"local": Local, "http": Http, "s3": S3, "oss": Oss, "youpai": Upyun, "azure": Azure}[side["type"]](side)


def seed(side, text):
    objects, end = plan(text), open_side(side)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(end.put, objects))
    print(json.dumps({"objects": len(objects), "bytes": sum(o["size"] for o in objects)}))


def compare(side, text, absent, bare):
    wanted = {o["key"]: o for o in plan(text) if o["key"] not in absent}
    wrong, seen = [], set()
    for got in open_side(side).look():
        key = got["key"]
        o = wanted.get(key)
        if o is None:
            wrong.append(f"not expected: {key!r} of {got['size']} bytes")
            continue
        if key in seen:
            wrong.append(f"twice: {key!r}")
        seen.add(key)
        if got["size"] != o["size"] or got["sha256"] != hashlib.sha256(data(key, o["size"])).hexdigest():
            wrong.append(f"other bytes: {key!r}, {got['size']} of {o['size']}")
        if not bare:
            for name, value in o["headers"].items():
                if got["headers"].get(name) != value:
                    wrong.append(f"header {name} of {key!r}: {got['headers'].get(name)!r}, not {value!r}")
            for name, value in o["meta"].items():
                if got["meta"].get(name) != value:
                    wrong.append(f"metadata {name} of {key!r}: {got['meta'].get(name)!r}, not {value!r}")
    wrong += [f"missing: {key!r}" for key in sorted(set(wanted) - seen)]
    for line in wrong[:40]:
        print(line)
    print(json.dumps({"objects": len(seen), "wrong": len(wrong)}))
    return 1 if wrong else 0


def main(args):
    if args[0] == "seed":
        return seed(args[1], args[2])
    if args[0] == "look":
        for got in open_side(args[1]).look():
            print(json.dumps(got))
        return 0
    absent = []
    if "--absent" in args:
        with open(args[args.index("--absent") + 1]) as f:
            absent = json.load(f)
    return compare(args[1], args[2], set(absent), "--bare" in args)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
