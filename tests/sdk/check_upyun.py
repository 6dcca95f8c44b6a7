#!/usr/bin/env python3
"""The vendor's own SDK against the test server of UPYUN: it must be able to use it, and the server must refuse what
the vendor refuses. usage: check_upyun.py ENDPOINT OPERATOR PASSWORD

The server must have the bucket `sdk-bucket`. Prints a line a check; exit 1 if one failed."""
import base64
import collections
import collections.abc
import datetime
import hashlib
import io
import json
import os
import sys
import tempfile

import requests

if not hasattr(collections, "Callable"):  # the SDK is older than Python 3.10
    collections.Callable = collections.abc.Callable

import upyun
from upyun.modules.exception import UpYunServiceException
from upyun.modules.sign import make_signature

from checks import MIB, check, run

BODY = b"hello upyun \x00\xff" * 100


def client(operator=None, password=None, bucket="sdk-bucket"):
    return upyun.UpYun(bucket, operator or OPERATOR, password or PASSWORD, endpoint=HOST)


def refused(code, call):
    try:
        call()
    except UpYunServiceException as error:
        said = json.loads(error.err) if error.err else {}
        assert said.get("code") == code, f"{said}, not {code}"
        assert error.status == code // 100000 and said["msg"] and said["id"], error
        return said
    raise AssertionError(f"not refused with {code}")


def raw(method, path, headers=None, data=b"", date=None, password=None):
    """A request that is signed as the SDK signs."""
    date = date or datetime.datetime.now(datetime.timezone.utc).strftime("%a, %d %b %Y %H:%M:%S GMT")
    uri = "/sdk-bucket/" + path
    headers = dict(headers or {})
    headers["Authorization"] = make_signature(
        username=OPERATOR, password=hashlib.md5((password or PASSWORD).encode()).hexdigest(), method=method, uri=uri,
        date=date, content_md5=headers.get("Content-MD5"))
    headers["Date"] = date
    return requests.request(method, "http://" + HOST + uri, headers=headers, data=data)


def code_of(answer):
    return answer.json()["code"]


@check
def files_and_their_information():
    c = client()
    for key in ["plain", "a/b/c", "sp ace+plus&=#%41", "\u4e2d\u6587/\U0001f600", "a!b", "back\\slash"]:
        c.put("/" + key, BODY, checksum=True, headers={"Content-Type": "text/x-a", "X-Upyun-Meta-Color": "blue"})
        out = io.BytesIO()
        c.get("/" + key, out)
        assert out.getvalue() == BODY, key
        info = c.getinfo("/" + key)
        assert info["file-type"] == "file" and int(info["file-size"]) == len(BODY), info
        assert info["meta-color"] == "blue" and info["content-md5"] == hashlib.md5(BODY).hexdigest(), info
        assert abs(int(info["file-date"]) - datetime.datetime.now().timestamp()) < 60
    assert c.getinfo("/a")["file-type"] == "folder"
    assert int(c.usage()) == 6 * len(BODY)
    with tempfile.NamedTemporaryFile(suffix=".txt") as f:
        f.write(BODY * 2)
        f.seek(0)
        c.put("/from-file", f, checksum=True)
    assert int(c.getinfo("/from-file")["file-size"]) == 2 * len(BODY)
    c.delete("/from-file")
    refused(40400001, lambda: c.get("/from-file"))
    refused(40400001, lambda: c.delete("/from-file"))
    part = raw("GET", "plain", {"Range": "bytes=2-5"})
    assert part.status_code == 206 and part.content == BODY[2:6], part.content
    assert part.headers["Content-Range"] == f"bytes 2-5/{len(BODY)}"
    assert raw("GET", "plain", {"Range": f"bytes={len(BODY)}-"}).status_code == 416


@check
def folders_are_made_listed_and_deleted():
    c = client()
    c.mkdir("/folder/inner")
    for n in range(25):
        c.put(f"/folder/f{(n * 7) % 25:02d}", b"x" * n)
    everything, order, begin = [], [], None
    while True:
        page = c.get_list_with_iter("/folder/", limit=10, begin=begin)
        assert len(page["files"]) <= 10
        everything += page["files"]
        begin = page["iter"]
        if begin == "g2gCZAAEbmV4dGQAA2VvZg":
            break
    names = [entry["name"] for entry in everything]
    assert names == ["inner"] + [f"f{(n * 7) % 25:02d}" for n in range(25)], names  # by time, not by name
    assert everything[0]["type"] == "F" and everything[1]["type"] == "N"
    assert [int(entry["size"]) for entry in everything[1:]] == list(range(25))
    last = c.getlist("/folder/", limit=3, order="desc")
    assert [entry["name"] for entry in last] == names[:-4:-1], last
    assert [entry["name"] for entry in c.iterlist("/folder/", limit=100)] == names
    as_json = raw("GET", "folder/", {"Accept": "application/json", "X-List-Limit": "2"}).json()
    assert [f["name"] for f in as_json["files"]] == names[:2] and as_json["files"][0]["type"] == "folder", as_json
    second = raw("GET", "folder/", {"Accept": "application/json", "X-List-Limit": "100", "X-List-Iter": as_json["iter"]}).json()
    assert [f["name"] for f in second["files"]] == names[2:] and second["iter"] == "g2gCZAAEbmV4dGQAA2VvZg"
    refused(40300005, lambda: c.delete("/folder"))
    refused(40300014, lambda: c.getlist("/folder/", order="sideways"))
    refused(40600001, lambda: c.put("/folder/f01/below-a-file", b"x"))
    refused(40600002, lambda: c.put("/folder/inner", b"x"))
    refused(40600001, lambda: c.mkdir("/folder/f01"))
    refused(40400001, lambda: c.getlist("/no-folder/"))
    c.delete("/folder/inner")
    refused(40400001, lambda: c.getlist("/folder/inner/"))


@check
def uploads_in_parts_one_after_the_other():
    c = client()
    content = os.urandom(3 * MIB + 5)
    with tempfile.NamedTemporaryFile(suffix=".bin") as f:
        f.write(content)
        f.flush()
        f.seek(0)
        c.put("/resumed", f, checksum=True, need_resume=True, headers={"X-Upyun-Meta-A": "1"})
    out = io.BytesIO()
    c.get("/resumed", out)
    assert out.getvalue() == content
    info = c.getinfo("/resumed")
    assert info["meta-a"] == "1" and info["content-md5"] == hashlib.md5(content).hexdigest()
    begun = raw("PUT", "serial", {"X-Upyun-Multi-Stage": "initiate", "X-Upyun-Multi-Length": str(2 * MIB)})
    assert begun.status_code == 204 and begun.headers["X-Upyun-Next-Part-Id"] == "0"
    uuid = begun.headers["X-Upyun-Multi-Uuid"]
    assert len(uuid) == 36, uuid
    def part(number, data=b"x" * MIB):
        return raw("PUT", "serial", {"X-Upyun-Multi-Stage": "upload", "X-Upyun-Multi-Uuid": uuid, "X-Upyun-Part-Id": str(number)}, data)
    wrong = part(1)
    assert code_of(wrong) == 40011061 and wrong.json()["msg"] == "part id error" and wrong.headers["X-Upyun-Next-Part-Id"] == "0"
    assert part(0).headers["X-Upyun-Next-Part-Id"] == "1"
    assert code_of(part(1, b"short")) == 40000025
    assert part(1).headers["X-Upyun-Next-Part-Id"] == "-1"
    assert code_of(part(1)) == 40011062


@check
def uploads_in_parts_in_any_order():
    c = client()
    content = os.urandom(2 * MIB + 7)
    c.put("/disorder", b"what was there")
    up = c.init_multi_uploader("/disorder", part_size=MIB, file_size=len(content), headers={"X-Upyun-Multi-Type": "text/x-m"})
    for number in [2, 0, 1]:
        up.upload(number, content[number * MIB:(number + 1) * MIB])
    listed = raw("GET", "disorder", {"X-Upyun-Multi-Uuid": up.uuid}).json()["parts"]
    assert [p["id"] for p in listed] == [0, 1, 2] and listed[2]["size"] == 7, listed
    assert listed[0]["etag"] == hashlib.md5(content[:MIB]).hexdigest()
    uploads = raw("GET", "", {"X-Upyun-List-Type": "multi", "X-Upyun-List-Prefix": base64.b64encode(b"disorder").decode()})
    assert [u["uuid"] for u in uploads.json()["files"]] == [up.uuid], uploads.json()
    out = io.BytesIO()
    c.get("/disorder", out)
    assert out.getvalue() == b"what was there", "invisible until it is complete"
    refused(40011059, lambda: up.complete(hashlib.md5(b"other").hexdigest()))
    up.complete(hashlib.md5(content).hexdigest())
    out = io.BytesIO()
    c.get("/disorder", out)
    assert out.getvalue() == content
    refused(40011058, lambda: up.complete())
    refused(40000099, lambda: c.put("/disorder", b"in another way"))
    c.delete("/disorder")
    c.put("/disorder", b"in another way")
    up = c.init_multi_uploader("/cancelled", part_size=MIB, file_size=2 * MIB)
    refused(40011061, lambda: up.upload(2, b"x" * MIB))
    refused(40011061, lambda: up.complete())
    up.cancel()
    refused(40011058, lambda: up.upload(0, b"x" * MIB))
    for headers, code in [
        ({"X-Upyun-Multi-Stage": "begin"}, 40011055),
        ({"X-Upyun-Multi-Stage": "initiate"}, 40011052),
        ({"X-Upyun-Multi-Stage": "initiate", "X-Upyun-Multi-Length": "5", "X-Upyun-Multi-Part-Size": "1000"}, 40011054),
        ({"X-Upyun-Multi-Stage": "upload", "X-Upyun-Multi-Uuid": "x", "X-Upyun-Part-Id": "0"}, 40011058),
    ]:
        assert code_of(raw("PUT", "odd", headers)) == code, headers


@check
def wrong_operators_dates_and_bytes_are_refused():
    c = client()
    refused(40100005, lambda: client(password="wrong").getlist("/"))
    refused(40100006, lambda: client(operator="nobody").getlist("/"))
    refused(40100012, lambda: client(bucket="no-bucket").getlist("/"))
    now = datetime.datetime.now(datetime.timezone.utc)
    def at(minutes):
        return (now + datetime.timedelta(minutes=minutes)).strftime("%a, %d %b %Y %H:%M:%S GMT")
    assert code_of(raw("GET", "", date=at(-31))) == 40100002
    assert code_of(raw("GET", "", date=at(31))) == 40100002
    assert raw("GET", "", date=at(-29)).status_code == 200
    assert code_of(raw("GET", "", date="yesterday")) == 40100016
    url = f"http://{HOST}/sdk-bucket/"
    assert code_of(requests.get(url)) == 40100004
    assert code_of(requests.get(url, headers={"Authorization": "UPYUN a:b"})) == 40100001
    assert code_of(requests.get(url, headers={"Authorization": "Bearer a"})) == 40100003
    assert requests.get(url, auth=(OPERATOR, PASSWORD)).status_code == 200
    assert code_of(requests.get(url, auth=(OPERATOR, "wrong"))) == 40100009
    refused(40300007, lambda: c.put("/md5", b"x", headers={"Content-MD5": hashlib.md5(b"y").hexdigest()}))
    refused(40400001, lambda: c.get("/md5"))
    assert code_of(raw("PUT", "chunks", data=(piece for piece in [b"a", b"b"]))) == 40000011
    refused(40300001, lambda: c.put("/line\nend", b"x"))
    refused(40300003, lambda: c.put("/" + "n" * 256, b"x"))
    refused(40300002, lambda: c.put("/" + "/".join(["p" * 200] * 6), b"x"))
    assert code_of(raw("PUT", "%FF", data=b"x")) == 40000030


if __name__ == "__main__":
    endpoint, OPERATOR, PASSWORD = sys.argv[1:4]
    HOST = endpoint.split("://")[1]
    sys.exit(run(""))
