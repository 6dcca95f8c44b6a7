"""Ends that are seen with a vendor's own SDK: put(object) and look(), as `world.py` needs them."""
import hashlib
import io
import logging
from urllib.parse import quote, unquote

for name in ("qcloud_cos", "baidubce", "ks3"):
    logging.getLogger(name).setLevel(logging.CRITICAL)

KEPT = ("Content-Type", "Content-Encoding", "Content-Disposition", "Content-Language", "Cache-Control")


def found(key, body, headers, prefix):
    """One line of look(): `headers` in any case, metadata under its prefix."""
    lower = {name.lower(): value for name, value in headers.items()}
    return {"key": key, "size": len(body), "sha256": hashlib.sha256(body).hexdigest(),
            "headers": {name: lower[name.lower()] for name in KEPT if name.lower() in lower},
            "meta": {name[len(prefix):]: value for name, value in lower.items() if name.startswith(prefix)}}


def address(side):
    host, port = side["endpoint"].removeprefix("http://").split(":")
    return host, int(port)


class Cos:
    def __init__(self, side, data):
        from qcloud_cos import CosConfig, CosS3Client
        host, port = address(side)
        config = CosConfig(Region=side["region"], SecretId=side["access_key"], SecretKey=side["secret_key"], Scheme="http",
                           IP=host, Port=port)
        self.c, self.data = CosS3Client(config, retry=3), data
        self.bucket, self.prefix = side["bucket"], side.get("prefix", "")

    def put(self, o):
        headers = {name.replace("-", ""): value for name, value in o["headers"].items()}
        meta = {"x-cos-meta-" + name: value for name, value in o["meta"].items()}
        self.c.put_object(Bucket=self.bucket, Key=self.prefix + o["key"], Body=self.data(o["key"], o["size"]), Metadata=meta, **headers)

    def look(self):
        marker = ""
        while True:
            page = self.c.list_objects(Bucket=self.bucket, Prefix=self.prefix, Marker=marker)
            for entry in page.get("Contents", []):
                got = self.c.get_object(Bucket=self.bucket, Key=entry["Key"], KeySimplifyCheck=False)
                body = got["Body"].get_raw_stream().read()
                yield found(entry["Key"][len(self.prefix):], body, dict(got), "x-cos-meta-")
            if page["IsTruncated"] == "false":
                return
            marker = page["NextMarker"]


class Bos:
    def __init__(self, side, data):
        from baidubce.auth.bce_credentials import BceCredentials
        from baidubce.bce_client_configuration import BceClientConfiguration
        from baidubce.services.bos.bos_client import BosClient
        self.c = BosClient(BceClientConfiguration(
            credentials=BceCredentials(side["access_key"], side["secret_key"]), endpoint=side["endpoint"]))
        self.data, self.bucket, self.prefix = data, side["bucket"], side.get("prefix", "")

    def put(self, o):
        body = self.data(o["key"], o["size"])
        # The SDK has no Content-Language.
        more = {name: value for name, value in o["headers"].items() if name not in ("Content-Type", "Content-Language")}
        self.c.put_object(self.bucket, self.prefix + o["key"], io.BytesIO(body), len(body), content_md5=None,
                          content_type=o["headers"].get("Content-Type"), user_metadata=o["meta"] or None, user_headers=more)

    def look(self):
        for entry in self.c.list_all_objects(self.bucket, prefix=self.prefix):
            got = self.c.get_object(self.bucket, entry.key)
            headers = {name.replace("_", "-"): value for name, value in vars(got.metadata).items() if isinstance(value, str)}
            headers.update({"x-bce-meta-" + name: value for name, value in got.metadata.user_metadata.items()})
            yield found(entry.key[len(self.prefix):], got.data.read(), headers, "x-bce-meta-")


class Ks3:
    def __init__(self, side, data):
        from ks3.connection import Connection, PathCallingFormat
        host, port = address(side)
        connection = Connection(side["access_key"], side["secret_key"], host=host, port=port, is_secure=False,
                                calling_format=PathCallingFormat())
        self.b = connection.get_bucket(side["bucket"])
        self.data, self.prefix = data, side.get("prefix", "")

    def put(self, o):
        headers = dict(o["headers"], **{"x-kss-meta-" + name: value for name, value in o["meta"].items()})
        self.b.new_key(self.prefix + o["key"]).set_contents_from_string(self.data(o["key"], o["size"]), headers=headers)

    def look(self):
        # Encoded, because XML has no control characters; the SDK leaves the names encoded.
        for entry in self.b.list_v2(prefix=self.prefix, delimiter="", encoding_type="url"):
            key = unquote(entry.name)
            got = self.b.connection.make_request("GET", self.b.name, key)
            assert got.status == 200, (key, got.status)
            body = got.read()
            yield found(key[len(self.prefix):], body, dict(got.getheaders()), "x-kss-meta-")


class Qiniu:
    def __init__(self, side, data):
        import qiniu
        from qiniu.http.endpoint import Endpoint
        from qiniu.http.region import Region, ServiceName
        self.qiniu, self.data = qiniu, data
        self.side, self.bucket, self.prefix = side, side["bucket"], side.get("prefix", "")
        host, port = address(side)
        here = [Endpoint(f"{host}:{port}", default_scheme="http")]
        self.regions = [Region(region_id="z0", services={name: here for name in ServiceName})]
        self.auth = qiniu.Auth(side["access_key"], side["secret_key"])
        self.s3 = None

    def put(self, o):
        key, body = self.prefix + o["key"], self.data(o["key"], o["size"])
        if set(o["headers"]) - {"Content-Type"} or not body:
            # The native API has no other headers, and its SDK no empty objects.
            return self.put_s3(o)
        meta = {"x-qn-meta-" + name: value for name, value in o["meta"].items()}
        kind = o["headers"].get("Content-Type", "application/octet-stream")
        token = self.auth.upload_token(self.bucket, key)
        _, info = self.qiniu.put_data(token, key, body, mime_type=kind, metadata=meta, regions=self.regions)
        assert info.ok(), info

    def put_s3(self, o):
        from world import S3
        self.s3 = self.s3 or S3(self.side)
        self.s3.put(o)

    def look(self):
        import requests
        manager, marker, end = self.qiniu.BucketManager(self.auth, regions=self.regions), None, False
        domain, session = f"{self.bucket}.u.qiniudn.com", requests.Session()
        while not end:
            page, end, info = manager.list(self.bucket, prefix=self.prefix, marker=marker)
            assert info.ok(), info
            marker = page.get("marker")
            for item in page["items"]:
                url = self.auth.private_download_url(f"http://{domain}/{quote(item['key'])}")
                got = session.get(url.replace(f"http://{domain}", self.side["endpoint"], 1), headers={"Host": domain})
                assert got.status_code == 200, (item["key"], got.status_code, got.text)
                raw = got.content
                yield found(item["key"][len(self.prefix):], raw, dict(got.headers), "x-qn-meta-")
