#!/usr/bin/env python3
"""The vendors' own SDKs against the test server: they must be able to use it, and it must refuse what the
vendors refuse. usage: check_family.py DIALECT ENDPOINT ACCESS_KEY SECRET_KEY

The server must have the buckets of `checks.py`. Prints a line a check; exit 1 if one failed. OSS and S3 are
here, the others in `check_DIALECT.py`."""
import importlib
import io
import sys
import time

import checks
from checks import BODY, MIB, check, refused

# --- oss2, both signature versions

def oss2_bucket(v, secret=None):
    import oss2
    auth = (oss2.AuthV4 if v == 4 else oss2.Auth)(AK, secret or SK)
    return oss2.Bucket(auth, ENDPOINT, "sdk-bucket", region="cn-test")


def oss2_round(v):
    import oss2
    b = oss2_bucket(v)
    headers = {"Content-Type": "text/x-a", "x-oss-meta-color": "blue", "Cache-Control": "no-cache"}
    for key in ["plain", "a//b", "sp ace+plus&=?#%41", "\u4e2d\u6587/\U0001f600", "dir/"]:
        put = b.put_object(key, BODY, headers=headers)
        got = b.get_object(key)
        assert got.read() == BODY, key
        assert got.headers["Content-Type"] == "text/x-a" and got.headers["x-oss-meta-color"] == "blue"
        head = b.head_object(key)
        assert head.content_length == len(BODY) and head.headers["x-oss-hash-crc64ecma"] == str(put.crc)
    assert b.get_object("plain", byte_range=(2, 5)).read() == BODY[2:6]
    assert sorted(o.key for o in oss2.ObjectIterator(b, max_keys=2)) == sorted(o.key for o in oss2.ObjectIteratorV2(b, max_keys=3))
    assert [p for p in b.list_objects_v2(delimiter="/").prefix_list] == ["a/", "dir/", "\u4e2d\u6587/"]
    refused("NoSuchKey", lambda: b.get_object("nowhere"))
    refused("InvalidObjectName", lambda: b.put_object("\\a", b"x"))
    refused("SignatureDoesNotMatch", lambda: oss2_bucket(v, "wrong").put_object("plain", b"x"))
    refused("InvalidDigest", lambda: b.put_object("plain", b"x", headers={"Content-MD5": "bad"}))
    refused("FileAlreadyExists", lambda: b.put_object("plain", b"x", headers={"x-oss-forbid-overwrite": "true"}))
    assert b.get_object("plain").read() == BODY


@check
def oss_oss2_signature_v1():
    oss2_round(1)


@check
def oss_oss2_signature_v4():
    oss2_round(4)


@check
def oss_oss2_tags_access_lists_and_links():
    import oss2
    b = oss2_bucket(4)
    headers = {"x-oss-tagging": "team=a%20b&k.1=%2B", "x-oss-object-acl": "public-read"}
    b.put_object("beside", b"x", headers=headers)
    assert b.get_object_tagging("beside").tag_set.tagging_rule == {"team": "a b", "k.1": "+"}
    assert b.get_object_acl("beside").acl == "public-read"
    b.put_object("beside", b"x")
    assert not b.get_object_tagging("beside").tag_set.tagging_rule
    assert b.get_object_acl("beside").acl == "default"
    refused("InvalidTag", lambda: b.put_object("beside", b"x", headers={"x-oss-tagging": "a=%40"}))
    many = "&".join(f"k{n}=v" for n in range(11))
    refused("BadRequest", lambda: b.put_object("beside", b"x", headers={"x-oss-tagging": many}))
    refused("InvalidArgument", lambda: b.put_object("beside", b"x", headers={"x-oss-object-acl": "all"}))
    up = b.init_multipart_upload("parts", headers={"x-oss-tagging": "a=b"}).upload_id
    part = b.upload_part("parts", up, 1, b"x")
    info = [oss2.models.PartInfo(1, part.etag)]
    b.complete_multipart_upload("parts", up, info, headers={"x-oss-object-acl": "private"})
    assert b.get_object_tagging("parts").tag_set.tagging_rule == {"a": "b"}
    assert b.get_object_acl("parts").acl == "private"
    b.put_symlink("\u4e2d/beside", "link")
    assert b.get_symlink("link").target_key == "\u4e2d/beside"
    for key in ["beside", "parts", "link"]:
        b.delete_object(key)


@check
def oss_oss2_multipart():
    import oss2
    from oss2.models import PartInfo
    b = oss2_bucket(4)
    up = b.init_multipart_upload("parts", headers={"x-oss-meta-a": "1"}).upload_id
    done = [PartInfo(n, (r := b.upload_part("parts", up, n, bytes([n]) * (200 << 10))).etag, size=200 << 10, part_crc=r.crc)
            for n in (1, 2, 3)]
    assert [p.part_number for p in b.list_parts("parts", up).parts] == [1, 2, 3]
    assert [u.key for u in b.list_multipart_uploads().upload_list] == ["parts"]
    refused("InvalidPartOrder", lambda: complete_unsorted(b, up, done))
    refused("InvalidPart", lambda: b.complete_multipart_upload("parts", up, [PartInfo(1, "0" * 32, size=1, part_crc=0)]))
    b.complete_multipart_upload("parts", up, done)
    assert b.get_object("parts").read() == b"".join(bytes([n]) * (200 << 10) for n in (1, 2, 3))
    refused("NoSuchUpload", lambda: b.complete_multipart_upload("parts", up, done))
    small = b.init_multipart_upload("small").upload_id
    tiny = [PartInfo(n, (r := b.upload_part("small", small, n, b"x")).etag, size=1, part_crc=r.crc) for n in (1, 2)]
    refused("EntityTooSmall", lambda: b.complete_multipart_upload("small", small, tiny))
    b.abort_multipart_upload("small", small)
    refused("NoSuchUpload", lambda: b.list_parts("small", small))
    oss2.resumable_upload(b, "resumable", __file__, multipart_threshold=1 << 10, part_size=100 << 10)
    copied = b.copy_object("sdk-bucket", "parts", "copied")
    assert copied.status == 200 and b.head_object("copied").headers["x-oss-meta-a"] == "1"
    assert set(b.batch_delete_objects(["copied", "resumable"]).deleted_keys) == {"copied", "resumable"}


def complete_unsorted(b, up, done):
    """oss2 sorts the parts before it sends them, so they go past it."""
    parts = "".join(f"<Part><PartNumber>{p.part_number}</PartNumber><ETag>\"{p.etag}\"</ETag></Part>" for p in done[::-1])
    data = f"<CompleteMultipartUpload>{parts}</CompleteMultipartUpload>"
    b._Bucket__do_object("POST", "parts", params={"uploadId": up}, data=data)


@check
def oss_clock_skew_is_refused():
    b = oss2_bucket(1)
    real = time.time
    import oss2.utils as utils
    old = utils.http_date
    utils.http_date = lambda t=None: old(int(real()) - 3600)
    try:
        refused("RequestTimeTooSkewed", lambda: b.get_object("plain"))
    finally:
        utils.http_date = old


@check
def oss_official_v2_sdk():
    import alibabacloud_oss_v2 as oss
    cfg = oss.config.load_default()
    cfg.credentials_provider = oss.credentials.StaticCredentialsProvider(AK, SK)
    cfg.region, cfg.endpoint, cfg.use_path_style = "cn-test", ENDPOINT, True
    c = oss.Client(cfg)
    for key in ["v2/a//b", "v2/sp ace+plus&=?#%41", "v2/\u4e2d\u6587"]:
        put = c.put_object(oss.PutObjectRequest(bucket="sdk-bucket", key=key, body=BODY, metadata={"color": "red"}))
        got = c.get_object(oss.GetObjectRequest(bucket="sdk-bucket", key=key))
        assert got.body.content == BODY and got.metadata["color"] == "red" and got.hash_crc64 == put.hash_crc64
    listed = [o.key for page in c.list_objects_v2_paginator().iter_page(oss.ListObjectsV2Request(bucket="sdk-bucket", prefix="v2/", max_keys=2))
              for o in page.contents or []]
    assert listed == sorted(listed) and len(listed) == 3, listed
    up = c.initiate_multipart_upload(oss.InitiateMultipartUploadRequest(bucket="sdk-bucket", key="v2/mp")).upload_id
    parts = [oss.UploadPart(part_number=n, etag=c.upload_part(oss.UploadPartRequest(
        bucket="sdk-bucket", key="v2/mp", upload_id=up, part_number=n, body=bytes([n]) * (100 << 10))).etag) for n in (1, 2)]
    c.complete_multipart_upload(oss.CompleteMultipartUploadRequest(
        bucket="sdk-bucket", key="v2/mp", upload_id=up, complete_multipart_upload=oss.CompleteMultipartUpload(parts=parts)))
    assert c.head_object(oss.HeadObjectRequest(bucket="sdk-bucket", key="v2/mp")).content_length == 200 << 10
    cfg.credentials_provider = oss.credentials.StaticCredentialsProvider(AK, "wrong")
    refused("SignatureDoesNotMatch", lambda: oss.Client(cfg).get_object(oss.GetObjectRequest(bucket="sdk-bucket", key="v2/mp")))


# --- boto3

def s3_client(secret=None, **more):
    import boto3
    from botocore.config import Config
    config = Config(s3={"addressing_style": "path"}, retries={"max_attempts": 1}, **more)
    return boto3.client("s3", endpoint_url=ENDPOINT, aws_access_key_id=AK, aws_secret_access_key=secret or SK,
                        region_name="us-east-1", config=config)


@check
def s3_boto3_objects():
    c = s3_client()
    for key in ["plain", "a//b", "/lead", "sp ace+plus&=?#%41", "\u4e2d\u6587/\U0001f600", "ctl\x01", "dir/", ".", "..", "a/../b"]:
        put = c.put_object(Bucket="sdk-bucket", Key=key, Body=BODY, ContentType="text/x-a", Metadata={"color": "blue"})
        got = c.get_object(Bucket="sdk-bucket", Key=key)
        assert got["Body"].read() == BODY, key
        assert got["ContentType"] == "text/x-a" and got["Metadata"] == {"color": "blue"} and got["ETag"] == put["ETag"]
    assert c.get_object(Bucket="sdk-bucket", Key="plain", Range="bytes=2-5")["Body"].read() == BODY[2:6]
    refused("PreconditionFailed", lambda: c.get_object(Bucket="sdk-bucket", Key="plain", IfMatch='"x"'))
    refused("NoSuchKey", lambda: c.get_object(Bucket="sdk-bucket", Key="nowhere"))
    refused("NoSuchBucket", lambda: c.list_objects_v2(Bucket="no-bucket"))
    refused("SignatureDoesNotMatch", lambda: s3_client("wrong").list_objects_v2(Bucket="sdk-bucket"))
    refused("BadDigest", lambda: c.put_object(Bucket="sdk-bucket", Key="plain", Body=b"x", ContentMD5="AAAAAAAAAAAAAAAAAAAAAA=="))
    refused("BadDigest", lambda: c.put_object(Bucket="sdk-bucket", Key="plain", Body=b"x", ChecksumCRC64NVME="AAAAAAAAAAA="))
    refused("PreconditionFailed", lambda: c.put_object(Bucket="sdk-bucket", Key="plain", Body=b"x", IfNoneMatch="*"))
    pages = c.get_paginator("list_objects_v2").paginate(Bucket="sdk-bucket", PaginationConfig={"PageSize": 3})
    v2 = [o["Key"] for p in pages for o in p["Contents"]]
    pages = c.get_paginator("list_objects").paginate(Bucket="sdk-bucket", PaginationConfig={"PageSize": 3})
    assert v2 == [o["Key"] for p in pages for o in p["Contents"]]
    assert v2 == sorted(v2, key=lambda k: k.encode()), v2
    c.put_object(Bucket="sdk-bucket", Key="trailer", Body=io.BytesIO(BODY), ChecksumAlgorithm="CRC32")
    head = c.head_object(Bucket="sdk-bucket", Key="trailer", ChecksumMode="ENABLED")
    assert "PartsCount" not in c.head_object(Bucket="sdk-bucket", Key="trailer", PartNumber=1)
    assert head["ChecksumCRC64NVME"] and head["ChecksumType"] == "FULL_OBJECT"


@check
def s3_boto3_tags_and_access_lists():
    c, at = s3_client(), {"Bucket": "sdk-bucket", "Key": "beside"}
    c.put_object(**at, Body=b"x", Tagging="team=a%20b&mail=x%40y", ACL="public-read")
    assert c.get_object_tagging(**at)["TagSet"] == [{"Key": "team", "Value": "a b"}, {"Key": "mail", "Value": "x@y"}]
    grants = c.get_object_acl(**at)["Grants"]
    assert [g["Permission"] for g in grants] == ["FULL_CONTROL", "READ"], grants
    assert grants[1]["Grantee"]["URI"].endswith("/AllUsers"), grants
    refused("InvalidTag", lambda: c.put_object(**at, Body=b"x", Tagging="a=%3F"))
    refused("BadRequest", lambda: c.put_object(**at, Body=b"x", Tagging="&".join(f"k{n}=v" for n in range(11))))
    up = c.create_multipart_upload(**at, Tagging="a=b", ACL="authenticated-read")["UploadId"]
    part = c.upload_part(**at, UploadId=up, PartNumber=1, Body=b"x")["ETag"]
    c.complete_multipart_upload(**at, UploadId=up, MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": part}]})
    assert c.get_object_tagging(**at)["TagSet"] == [{"Key": "a", "Value": "b"}]
    assert c.get_object_acl(**at)["Grants"][1]["Grantee"]["URI"].endswith("/AuthenticatedUsers")
    c.delete_object(**at)


@check
def s3_boto3_multipart():
    c = s3_client()
    up = c.create_multipart_upload(Bucket="sdk-bucket", Key="mp", Metadata={"a": "1"})["UploadId"]
    def part(n, body):
        return {"PartNumber": n, "ETag": c.upload_part(Bucket="sdk-bucket", Key="mp", UploadId=up, PartNumber=n, Body=body)["ETag"]}
    parts = [part(1, b"a" * 5 * MIB), part(2, b"b" * 5 * MIB), part(3, b"c")]
    def complete(p):
        return c.complete_multipart_upload(Bucket="sdk-bucket", Key="mp", UploadId=up, MultipartUpload={"Parts": p})
    assert len(c.list_parts(Bucket="sdk-bucket", Key="mp", UploadId=up)["Parts"]) == 3
    refused("InvalidPartOrder", lambda: complete(parts[::-1]))
    refused("InvalidPart", lambda: complete([dict(parts[0], ETag='"0"')]))
    refused("EntityTooSmall", lambda: complete([parts[2] | {"PartNumber": 3}, part(4, b"d")]))
    assert complete(parts)["ETag"].strip('"').endswith("-3")
    refused("NoSuchUpload", lambda: complete(parts))
    got = c.get_object(Bucket="sdk-bucket", Key="mp")
    assert got["Metadata"] == {"a": "1"} and got["Body"].read() == b"a" * 5 * MIB + b"b" * 5 * MIB + b"c"
    c.copy_object(Bucket="sdk-bucket", Key="copy", CopySource={"Bucket": "sdk-bucket", "Key": "mp"})
    assert c.delete_objects(Bucket="sdk-bucket", Delete={"Objects": [{"Key": "copy"}]})["Deleted"]


if __name__ == "__main__":
    dialect, ENDPOINT, AK, SK = sys.argv[1:5]
    checks.SERVER.update(endpoint=ENDPOINT, access=AK, secret=SK)
    if dialect not in ("oss", "s3"):
        importlib.import_module("check_" + dialect)
    sys.exit(checks.run(dialect + "_"))
