"""ks3sdk against the KS3 server's own signature and headers, and boto3 against its S3 API."""
import io
import logging

from check_bos import s3, signed_for
from checks import BODY, KEYS, MIB, SERVER, address, check, in_order, refused
from ks3 import auth
from ks3.connection import Connection, PathCallingFormat
from ks3.prefix import Prefix

logging.getLogger("ks3").setLevel(logging.CRITICAL)
BUCKET = "sdk-bucket"


def bucket(name=BUCKET, secret=None, access=None):
    host, port = address()
    connection = Connection(access or SERVER["access"], secret or SERVER["secret"], host=host, port=port, is_secure=False,
                            calling_format=PathCallingFormat(), retry_policy=None)
    return connection.get_bucket(name)


def put(b, key, body, headers=None):
    return b.new_key(key).set_contents_from_string(body, headers=headers)


def keys_of(b, prefix="", delimiter="", max_keys=1000):
    return [k for k in b.list(prefix=prefix, delimiter=delimiter, max_keys=max_keys)]


@check
def ks3_objects():
    b = bucket()
    for key in KEYS:
        # The SDK compares the CRC that the server states with its own.
        put(b, key, BODY, {"Content-Type": "text/x-a", "x-kss-meta-color": "blue", "Cache-Control": "no-cache"})
        k = b.get_key(key)
        assert k.get_contents_as_string() == BODY, key
        head = b.get_key(key, validate=True)
        assert head.size == len(BODY) and head.content_type == "text/x-a" and head.server_crc, head.__dict__
        assert head.user_meta.get("x-kss-meta-color") == "blue", head.__dict__
    part = b.get_key("plain").get_contents_as_string(headers={"Range": "bytes=2-5"})
    assert part == BODY[2:6]
    refused("NoSuchKey", lambda: b.get_key("nowhere").get_contents_as_string())
    wrong = ("0" * 32, "AAAAAAAAAAAAAAAAAAAAAA==")
    refused("BadDigest", lambda: b.new_key("plain").set_contents_from_string(b"x", md5=wrong))
    copied = b.copy_key("copy", BUCKET, "a//b")
    assert copied.name and b.get_key("copy", validate=True).user_meta["x-kss-meta-color"] == "blue"
    b.delete_key("copy")
    assert b.get_key("copy", validate=True) is None


@check
def ks3_listing():
    b = bucket()
    for i in range(5):
        put(b, f"list/{i} +%/\u4e2d", b"x" * i)
    assert [(k.name, k.size) for k in keys_of(b, "list/", max_keys=2)] == [(f"list/{i} +%/\u4e2d", i) for i in range(5)]
    folded = keys_of(b, "list/", "/", max_keys=2)
    assert [p.name for p in folded if isinstance(p, Prefix)] == [f"list/{i} +%/" for i in range(5)]
    everything = [k.name for k in keys_of(b)]
    assert everything == in_order(everything) and set(KEYS) <= set(everything), everything


@check
def ks3_multipart():
    b = bucket()
    up = b.initiate_multipart_upload("mp", headers={"Content-Type": "text/x-m", "x-kss-meta-a": "1"})
    etags = {}
    for n, body in [(1, b"a" * 5 * MIB), (2, b"b" * 5 * MIB), (3, b"c")]:
        etags[n] = up.upload_part_from_file(io.BytesIO(body), n).getheader("ETag")

    def complete(numbers):
        parts = "".join(f"<Part><PartNumber>{n}</PartNumber><ETag>{etags[n]}</ETag></Part>" for n in numbers)
        return b.complete_multipart_upload("mp", up.id, f"<CompleteMultipartUpload>{parts}</CompleteMultipartUpload>")
    assert [(p.part_number, p.size) for p in up] == [(1, 5 * MIB), (2, 5 * MIB), (3, 1)]
    assert [u.key_name for u in b.get_all_multipart_uploads()] == ["mp"]
    refused("InvalidPartOrder", lambda: complete([3, 2, 1]))
    etags[4] = '"0"'
    refused("InvalidPart", lambda: complete([4]))
    etags[4] = up.upload_part_from_file(io.BytesIO(b"d"), 4).getheader("ETag")
    refused("EntityTooSmall", lambda: complete([3, 4]))
    assert complete([1, 2, 3]).etag
    refused("NoSuchUpload", lambda: complete([1, 2, 3]))
    assert b.get_key("mp").get_contents_as_string() == b"a" * 5 * MIB + b"b" * 5 * MIB + b"c"
    again = b.initiate_multipart_upload("gone")
    again.cancel_upload()
    refused("NoSuchUpload", lambda: list(again))


@check
def ks3_what_it_refuses():
    b = bucket()
    refused("SignatureDoesNotMatch", lambda: put(bucket(secret="wrong"), "plain", b"x"))
    refused("InvalidAccessKeyId", lambda: put(bucket(access="nobody"), "plain", b"x"))
    refused("NoSuchBucket", lambda: keys_of(bucket("no-bucket")))
    refused("AccessDenied", lambda: keys_of(bucket("foreign-bucket")))
    refused("KeyTooLong", lambda: put(b, "k" * 1025, b"x"))
    refused("MetadataTooLarge", lambda: put(b, "m", b"x", {"x-kss-meta-a": "x" * 8193}))
    refused("RequestTimeTooSkewed", lambda: put(b, "m", b"x", {"Date": "Wed, 28 Dec 2022 10:27:41 GMT"}))


@check
def ks3_both_apis_see_the_same_objects():
    c, b = s3("BEIJING"), bucket()
    sent = c.put_object(Bucket=BUCKET, Key="both", Body=BODY, ContentType="text/x-a", Metadata={"color": "blue"})
    assert sent["ResponseMetadata"]["HTTPHeaders"]["x-amz-checksum-crc64ecma"].isdigit()
    assert b.get_key("both", validate=True).user_meta["x-kss-meta-color"] == "blue"
    got = c.get_object(Bucket=BUCKET, Key="a//b")
    assert got["Body"].read() == BODY and got["Metadata"] == {"color": "blue"}
    pages = c.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, PaginationConfig={"PageSize": 3})
    listed = [o for page in pages for o in page["Contents"]]
    assert set(KEYS) <= {o["Key"] for o in listed}
    assert {o["LastModified"].utcoffset().total_seconds() for o in listed} == {8 * 3600}
    assert "AuthorizationHeaderMalformed" in signed_for("cn-beijing") and "<Region>BEIJING<" in signed_for("cn-beijing")
    refused("SignatureDoesNotMatch", lambda: s3("BEIJING", "wrong").list_objects_v2(Bucket=BUCKET))
