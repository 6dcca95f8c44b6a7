"""cos-python-sdk-v5 against the COS server: virtual-hosted, by `q-sign`."""
import logging
import time

import requests
from checks import BODY, KEYS, MIB, SERVER, address, check, in_order, refused
from qcloud_cos import CosConfig, CosS3Client
from qcloud_cos import cos_auth

logging.getLogger("qcloud_cos").setLevel(logging.CRITICAL)
BUCKET = "sdk-bucket-1250000000"


# Capital letters as the service writes them, which the SDK looks for; our server's HTTP library has small ones.
CAPITALS = {name.lower(): name for name in (
    "Content-Type", "Content-Length", "Content-Range", "Content-Encoding", "Cache-Control", "ETag", "Last-Modified", "Date")}


def as_the_service_writes(response, **_):
    response.headers = requests.structures.CaseInsensitiveDict(
        {CAPITALS.get(name.lower(), name): value for name, value in response.headers.items()})


def session():
    made = requests.Session()
    made.hooks["response"].append(as_the_service_writes)
    return made


def client(secret=None, **more):
    host, port = address()
    config = CosConfig(Region="ap-test", SecretId=SERVER["access"], SecretKey=secret or SERVER["secret"], Scheme="http",
                       IP=host, Port=port, KeepAlive=True, **more)
    return CosS3Client(config, retry=0, session=session())


@check
def cos_objects():
    c = client()
    crcs = {}
    for key in KEYS:
        put = c.put_object(Bucket=BUCKET, Key=key, Body=BODY, ContentType="text/x-a", CacheControl="no-cache",
                           EnableMD5=True, Metadata={"x-cos-meta-color": "blue", "x-cos-meta-other": "a b"})
        got = c.get_object(Bucket=BUCKET, Key=key)
        assert got["Body"].get_raw_stream().read() == BODY, key
        assert got["Content-Type"] == "text/x-a" and got["x-cos-meta-color"] == "blue" and got["x-cos-meta-other"] == "a b"
        assert got["ETag"] == put["ETag"] and got["x-cos-hash-crc64ecma"] == put["x-cos-hash-crc64ecma"]
        crcs[key] = c.head_object(Bucket=BUCKET, Key=key)["x-cos-hash-crc64ecma"]
    assert len(set(crcs.values())) == 1
    got = c.get_object(Bucket=BUCKET, Key="plain", Range="bytes=2-5")
    assert got["Body"].get_raw_stream().read() == BODY[2:6] and got["Content-Range"] == f"bytes 2-5/{len(BODY)}"
    refused("PreconditionFailed", lambda: c.get_object(Bucket=BUCKET, Key="plain", IfMatch='"x"'))
    refused("NoSuchKey", lambda: c.get_object(Bucket=BUCKET, Key="nowhere"))
    refused("NoSuchResource", lambda: c.head_object(Bucket=BUCKET, Key="nowhere"))
    refused("BadDigest", lambda: c.put_object(Bucket=BUCKET, Key="plain", Body=b"x", ContentMD5="AAAAAAAAAAAAAAAAAAAAAA=="))
    refused("FileAlreadyExists", lambda: c.put_object(Bucket=BUCKET, Key="plain", Body=b"x", Metadata={"x-cos-forbid-overwrite": "true"}))
    copied = c.copy_object(Bucket=BUCKET, Key="copy", CopySource={"Bucket": BUCKET, "Key": "a//b", "Region": "ap-test"})
    assert copied["ETag"] and c.head_object(Bucket=BUCKET, Key="copy")["x-cos-meta-color"] == "blue"
    c.copy_object(Bucket=BUCKET, Key="copy", CopySource={"Bucket": BUCKET, "Key": "a//b", "Region": "ap-test"},
                  CopyStatus="Replaced", ContentType="text/x-b")
    assert c.head_object(Bucket=BUCKET, Key="copy")["Content-Type"] == "text/x-b"
    c.delete_object(Bucket=BUCKET, Key="copy")
    refused("NoSuchKey", lambda: c.get_object(Bucket=BUCKET, Key="copy"))
    for i in range(3):
        c.put_object(Bucket=BUCKET, Key=f"many/{i}", Body=b"x")
    c.delete_objects(Bucket=BUCKET, Delete={"Object": [{"Key": f"many/{i}"} for i in range(3)]})
    assert "Contents" not in c.list_objects(Bucket=BUCKET, Prefix="many/")


@check
def cos_listing():
    c, seen, marker = client(), [], ""
    for i in range(5):
        c.put_object(Bucket=BUCKET, Key=f"list/{i} +%/\u4e2d", Body=b"x" * i)
    while True:
        page = c.list_objects(Bucket=BUCKET, Prefix="list/", MaxKeys=2, Marker=marker)
        seen += [(o["Key"], int(o["Size"])) for o in page["Contents"]]
        if page["IsTruncated"] == "false":
            break
        marker = page["NextMarker"]
    assert seen == [(f"list/{i} +%/\u4e2d", i) for i in range(5)], seen
    folded = c.list_objects(Bucket=BUCKET, Prefix="list/", Delimiter="/")
    assert [p["Prefix"] for p in folded["CommonPrefixes"]] == [f"list/{i} +%/" for i in range(5)], folded
    everything = [o["Key"] for o in c.list_objects(Bucket=BUCKET)["Contents"]]
    assert everything == in_order(everything) and set(KEYS) <= set(everything), everything


@check
def cos_version_2_of_the_listing_has_no_effect():
    host, port = address()
    name = f"{BUCKET}.cos.ap-test.myqcloud.com"
    params = {"list-type": "2", "start-after": "plain", "max-keys": "1"}
    auth = cos_auth.CosS3Auth(client()._conf, params=params)
    got = requests.get(f"http://{host}:{port}/", params=params, headers={"Host": name}, auth=auth)
    assert got.status_code == 200 and "<NextMarker>" in got.text and "ContinuationToken" not in got.text, got.text
    first = min(KEYS, key=lambda key: key.encode())
    assert f"<Key>{first}</Key>" in got.text, got.text


@check
def cos_multipart():
    c = client()
    up = c.create_multipart_upload(Bucket=BUCKET, Key="mp", ContentType="text/x-m", Metadata={"x-cos-meta-a": "1"})["UploadId"]

    def part(n, body):
        put = c.upload_part(Bucket=BUCKET, Key="mp", UploadId=up, PartNumber=n, Body=body)
        assert put["x-cos-hash-crc64ecma"]
        return {"PartNumber": n, "ETag": put["ETag"]}

    def complete(parts):
        return c.complete_multipart_upload(Bucket=BUCKET, Key="mp", UploadId=up, MultipartUpload={"Part": parts})
    parts = [part(1, b"a" * MIB), part(2, b"b" * MIB), part(3, b"c")]
    listed = c.list_parts(Bucket=BUCKET, Key="mp", UploadId=up, MaxParts=2)
    assert [p["PartNumber"] for p in listed["Part"]] == ["1", "2"] and listed["IsTruncated"] == "true", listed
    assert "mp" in [u["Key"] for u in c.list_multipart_uploads(Bucket=BUCKET)["Upload"]]
    refused("InvalidPartOrder", lambda: complete(parts[::-1]))
    refused("InvalidPart", lambda: complete([dict(parts[0], ETag='"0"')]))
    refused("EntityTooSmall", lambda: complete([parts[2], part(4, b"d")]))
    assert complete(parts)["ETag"].strip('"').endswith("-3")
    refused("NoSuchUpload", lambda: complete(parts))
    got = c.get_object(Bucket=BUCKET, Key="mp")
    assert got["x-cos-meta-a"] == "1" and got["Content-Type"] == "text/x-m"
    assert got["Body"].get_raw_stream().read() == b"a" * MIB + b"b" * MIB + b"c"
    again = c.create_multipart_upload(Bucket=BUCKET, Key="gone")["UploadId"]
    c.abort_multipart_upload(Bucket=BUCKET, Key="gone", UploadId=again)
    refused("NoSuchUpload", lambda: c.list_parts(Bucket=BUCKET, Key="gone", UploadId=again))


@check
def cos_the_sdks_own_transfer_of_a_large_file():
    import tempfile
    c = client()
    with tempfile.NamedTemporaryFile() as file:
        file.write(BODY * 350)
        file.flush()
        c.upload_file(Bucket=BUCKET, Key="large", LocalFilePath=file.name, PartSize=1, MAXThread=3, EnableMD5=True)
        c.download_file(Bucket=BUCKET, Key="large", DestFilePath=file.name + ".got", PartSize=1, EnableCRC=True)
        with open(file.name + ".got", "rb") as got:
            assert got.read() == BODY * 350


@check
def cos_what_it_refuses():
    c = client()
    refused("SignatureDoesNotMatch", lambda: client("wrong").put_object(Bucket=BUCKET, Key="plain", Body=b"x"))
    refused("NoSuchBucket", lambda: c.list_objects(Bucket="no-bucket-1250000000"))
    refused("AccessDenied", lambda: c.list_objects(Bucket="foreign-bucket-1250000000"))
    refused("InvalidObjectName", lambda: c.put_object(Bucket=BUCKET, Key="\\begin", Body=b"x"))
    refused("InvalidObjectName", lambda: c.put_object(Bucket=BUCKET, Key="esc\x1bape", Body=b"x"))
    refused("KeyTooLong", lambda: c.put_object(Bucket=BUCKET, Key="k" * 851, Body=b"x"))
    c.put_object(Bucket=BUCKET, Key="k" * 850, Body=b"x")
    refused("InvalidArgument", lambda: c.put_object(Bucket=BUCKET, Key="m", Body=b"x", Metadata={"x-cos-meta-a_b": "1"}))
    refused("MetadataTooLarge", lambda: c.put_object(Bucket=BUCKET, Key="m", Body=b"x", Metadata={"x-cos-meta-a": "x" * 2048}))
    refused("MetadataTooLarge", lambda: c.put_object(
        Bucket=BUCKET, Key="m", Body=b"x", Metadata={f"x-cos-meta-a{i}": "x" * 1500 for i in range(3)}))
    refused("InvalidStorageClass", lambda: c.put_object(Bucket=BUCKET, Key="m", Body=b"x", StorageClass="GLACIER"))
    for off in (-20000, 3600):
        cos_auth.time.time, real = (lambda: real() + off), time.time
        try:
            refused("RequestTimeTooSkewed", lambda: c.list_objects(Bucket=BUCKET))
        finally:
            cos_auth.time.time = real


@check
def cos_public_bucket_without_keys():
    host, port = address()
    open_to_all = CosS3Client(CosConfig(Region="ap-test", Scheme="http", IP=host, Port=port, Anonymous=True), retry=0, session=session())
    client().put_object(Bucket="public-bucket-1250000000", Key="a", Body=BODY)
    assert open_to_all.get_object(Bucket="public-bucket-1250000000", Key="a")["Body"].get_raw_stream().read() == BODY
    refused("AccessDenied", lambda: open_to_all.put_object(Bucket="public-bucket-1250000000", Key="a", Body=b"x"))
    refused("AccessDenied", lambda: open_to_all.get_object(Bucket=BUCKET, Key="plain"))


@check
def cos_tags_and_access_lists():
    c = client()
    c.put_object(Bucket=BUCKET, Key="beside", Body=b"x", ACL="public-read", Metadata={"x-cos-tagging": "team=a%20b"})
    tags = c.get_object_tagging(Bucket=BUCKET, Key="beside")["TagSet"]["Tag"]
    assert tags == [{"Key": "team", "Value": "a b"}], tags
    grants = c.get_object_acl(Bucket=BUCKET, Key="beside")["AccessControlList"]["Grant"]
    assert sorted(grant["Permission"] for grant in grants) == ["FULL_CONTROL", "READ"], grants
    c.delete_object(Bucket=BUCKET, Key="beside")
