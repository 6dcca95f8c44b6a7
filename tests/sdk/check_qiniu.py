"""The qiniu SDK against the Kodo server's native API, and boto3 against its S3 API."""
import io
import os
import tempfile
import time

import qiniu
import requests
from check_bos import s3, signed_for
from checks import BODY, KEYS, MIB, SERVER, address, check, in_order, refused
from qiniu.http.endpoint import Endpoint
from qiniu.http.region import Region, ServiceName
from qiniu.utils import etag, etag_stream

BUCKET = "sdk-bucket"
DOMAIN = "sdk-bucket.u.qiniudn.com"


def region():
    host, port = address()
    here = [Endpoint(f"{host}:{port}", default_scheme="http")]
    return Region(region_id="z0", services={name: here for name in ServiceName})


def auth(secret=None):
    return qiniu.Auth(SERVER["access"], secret or SERVER["secret"])


def manager(secret=None):
    return qiniu.BucketManager(auth(secret), regions=[region()])


def done(answer):
    """The SDK's answers are pairs and never raise."""
    ret, info = answer[0], answer[-1]
    if not info.ok():
        raise RuntimeError(f"{info.status_code} {info.error}")
    return ret


def upload(key, body, token=None, **more):
    token = token or auth().upload_token(BUCKET, key)
    return done(qiniu.put_data(token, key, body, regions=[region()], **more))


def download(key, secret=None, expires=3600):
    from urllib.parse import quote
    url = auth(secret).private_download_url(f"http://{DOMAIN}/{quote(key)}", expires=expires)
    got = requests.get(url.replace(f"http://{DOMAIN}", SERVER["endpoint"], 1), headers={"Host": DOMAIN})
    if got.status_code != 200:
        raise RuntimeError(f"{got.status_code} {got.text}")
    return got


@check
def qiniu_objects():
    b = manager()
    for key in KEYS:
        ret = upload(key, BODY, mime_type="text/x-a", metadata={"x-qn-meta-color": "blue"})
        assert ret == {"hash": etag_stream(io.BytesIO(BODY)), "key": key}, ret
        got = download(key)
        assert got.content == BODY, key
        assert got.headers["Content-Type"] == "text/x-a" and got.headers["x-qn-meta-color"] == "blue"
        stat = done(b.stat(BUCKET, key))
        assert (stat["hash"], stat["fsize"], stat["mimeType"]) == (ret["hash"], len(BODY), "text/x-a")
        assert stat["x-qn-meta"] == {"color": "blue"}
    part = requests.get(f"{SERVER['endpoint']}/plain?" + auth().private_download_url(f"http://{DOMAIN}/plain").split("?", 1)[1],
                        headers={"Host": DOMAIN, "Range": "bytes=2-5"})
    assert part.status_code == 206 and part.content == BODY[2:6]
    done(b.copy(BUCKET, "a//b", BUCKET, "copy"))
    refused("614", lambda: done(b.copy(BUCKET, "plain", BUCKET, "copy")))
    assert download("copy").headers["x-qn-meta-color"] == "blue"
    done(b.move(BUCKET, "copy", BUCKET, "moved"))
    done(b.delete(BUCKET, "moved"))
    refused("612", lambda: done(b.stat(BUCKET, "moved")))
    refused("612", lambda: done(b.stat(BUCKET, "copy")))


@check
def qiniu_listing():
    b = manager()
    for i in range(5):
        upload(f"list/{i} +%\x01/\u4e2d", b"x" * (i + 1))
    seen, marker = [], None
    while True:
        page, end, info = b.list(BUCKET, prefix="list/", limit=2, marker=marker)
        assert info.ok(), info
        seen += [(item["key"], item["fsize"]) for item in page["items"]]
        if end:
            break
        marker = page["marker"]
    assert seen == [(f"list/{i} +%\x01/\u4e2d", i + 1) for i in range(5)], seen
    folded = b.list(BUCKET, prefix="list/", delimiter="/")[0]
    assert folded["commonPrefixes"] == [f"list/{i} +%\x01/" for i in range(5)]
    everything = [item["key"] for item in b.list(BUCKET)[0]["items"]]
    assert everything == in_order(everything) and set(KEYS) <= set(everything), everything
    refused("640", lambda: done(b.list(BUCKET, marker="nonsense")))


@check
def qiniu_multipart_version_2():
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "large")
        with open(path, "wb") as file:
            file.write(BODY * 1024)
        token = auth().upload_token(BUCKET, "mp")
        ret, info = qiniu.put_file_v2(token, "mp", path, part_size=4 * MIB, version="v2", mime_type="text/x-m",
                                      metadata={"x-qn-meta-a": "1"}, regions=[region()])
        assert info.ok() and ret["hash"] == etag(path), (ret, info)
    got = download("mp")
    assert got.content == BODY * 1024 and got.headers["Content-Type"] == "text/x-m" and got.headers["x-qn-meta-a"] == "1"
    # What the SDK does not do wrong by itself goes past it.
    host, port = address()
    base = f"http://{host}:{port}/buckets/{BUCKET}/objects/{qiniu.urlsafe_base64_encode('mp2')}/uploads"
    head = {"Authorization": "UpToken " + auth().upload_token(BUCKET, "mp2")}
    up = requests.post(base, headers=head).json()["uploadId"]
    put = lambda n, body: {"partNumber": n, "etag": requests.put(f"{base}/{up}/{n}", data=body, headers=head).json()["etag"]}
    parts = [put(1, b"a" * MIB), put(2, b"b" * 100), put(3, b"c")]
    for wrong, code in [(parts[1::-1], "ascending"), (parts, "smaller"), ([dict(parts[0], etag="x")], "entity tag")]:
        got = requests.post(f"{base}/{up}", json={"parts": wrong}, headers=head)
        assert got.status_code == 400 and code in got.text, (got.status_code, got.text)
    assert requests.put(f"{base}/{up}/4", data=b"x", headers=head | {"Content-MD5": "0" * 32}).status_code == 406
    assert requests.delete(f"{base}/{up}", headers=head).status_code == 200
    assert requests.put(f"{base}/{up}/1", data=b"x", headers=head).status_code == 612


@check
def qiniu_what_it_refuses():
    b = manager()
    refused("401", lambda: done(manager("wrong").stat(BUCKET, "plain")))
    refused("401", lambda: upload("plain", BODY, auth("wrong").upload_token(BUCKET, "plain")))
    refused("expired token", lambda: upload("plain", BODY, auth().upload_token(BUCKET, "plain", expires=-1)))
    refused("403", lambda: upload("plain", BODY, auth().upload_token(BUCKET, "other")))
    refused("614", lambda: upload("plain", b"other bytes", auth().upload_token(BUCKET)))
    assert download("plain").content == BODY
    refused("401", lambda: download("plain", secret="wrong"))
    refused("out of date", lambda: download("plain", expires=-1))
    refused("631", lambda: done(b.stat("no-bucket", "plain")))
    refused("631", lambda: done(b.list("no-bucket")))


@check
def qiniu_both_apis_see_the_same_objects():
    c, b = s3("cn-east-1"), manager()
    put = c.put_object(Bucket=BUCKET, Key="both", Body=BODY, ContentType="text/x-a", Metadata={"color": "blue"})
    assert done(b.stat(BUCKET, "both"))["hash"] == etag_stream(io.BytesIO(BODY))
    assert "x-amz-checksum-crc64nvme" not in put["ResponseMetadata"]["HTTPHeaders"]
    got = c.get_object(Bucket=BUCKET, Key="a//b")
    assert got["Body"].read() == BODY and got["Metadata"] == {"color": "blue"}
    page = c.list_objects_v2(Bucket=BUCKET, Prefix="sp ace", EncodingType="url")
    assert "EncodingType" not in page and page["Contents"][0]["Key"] == KEYS[2], page
    assert "AuthorizationHeaderMalformed" in signed_for("z0") and "<Region>cn-east-1<" in signed_for("z0")
    refused("SignatureDoesNotMatch", lambda: s3("cn-east-1", "wrong").list_objects_v2(Bucket=BUCKET))
    refused("AccessDenied", lambda: c.list_objects_v2(Bucket="foreign-bucket"))
    refused("KeyTooLong", lambda: c.put_object(Bucket=BUCKET, Key="k" * 751, Body=b"x"))
