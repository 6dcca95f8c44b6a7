"""bce-python-sdk against the BOS server's native API, and boto3 against its S3 API."""
import hashlib
import io
import logging

import base64
from baidubce import protocol
from baidubce.auth import bce_v1_signer
from baidubce.auth.bce_credentials import BceCredentials
from baidubce.bce_client_configuration import BceClientConfiguration
from baidubce.retry.retry_policy import NoRetryPolicy
from baidubce.services.bos.bos_client import BosClient
from checks import BODY, KEYS, MIB, SERVER, check, in_order, refused

logging.getLogger("baidubce").setLevel(logging.CRITICAL)
BUCKET = "sdk-bucket"


def client(secret=None, access=None):
    config = BceClientConfiguration(
        credentials=BceCredentials(access or SERVER["access"], secret or SERVER["secret"]), endpoint=SERVER["endpoint"],
        protocol=protocol.HTTP, retry_policy=NoRetryPolicy())
    return BosClient(config)


def md5(body):
    return base64.b64encode(hashlib.md5(body).digest()).decode()


@check
def bos_objects():
    c = client()
    for key in KEYS:
        put = c.put_object_from_string(BUCKET, key, BODY, content_md5=md5(BODY), content_type="text/x-a",
                                       user_metadata={"color": "blue"}, user_headers={"Cache-Control": "no-cache"})
        got = c.get_object(BUCKET, key)
        assert got.data.read() == BODY, key
        assert got.metadata.content_type == "text/x-a" and got.metadata.user_metadata == {"color": "blue"}, got.metadata
        assert got.metadata.etag == put.metadata.etag == hashlib.md5(BODY).hexdigest()
        head = c.get_object_meta_data(BUCKET, key).metadata
        assert head.content_length == str(len(BODY)) and head.bce_content_crc32 == put.metadata.bce_content_crc32
        assert head.cache_control == "no-cache"
    assert c.get_object(BUCKET, "plain", range=[2, 5]).data.read() == BODY[2:6]
    c.put_object(BUCKET, "with-crc", io.BytesIO(BODY), len(BODY), content_md5=None, content_crc32=put.metadata.bce_content_crc32)
    refused("BadDigest", lambda: c.put_object(BUCKET, "with-crc", io.BytesIO(BODY), len(BODY), content_md5=None, content_crc32="1"))
    refused("BadDigest", lambda: c.put_object_from_string(BUCKET, "plain", b"x", content_md5=md5(b"y")))
    refused("NoSuchKey", lambda: c.get_object(BUCKET, "nowhere"))
    c.copy_object(BUCKET, "a//b", BUCKET, "copy")
    assert c.get_object_meta_data(BUCKET, "copy").metadata.bce_meta_color == "blue"
    c.copy_object(BUCKET, "a//b", BUCKET, "copy", content_type="text/x-b", user_metadata={"other": "1"})
    assert c.get_object_meta_data(BUCKET, "copy").metadata.content_type == "text/x-b"
    c.delete_object(BUCKET, "copy")
    refused("NoSuchKey", lambda: c.get_object(BUCKET, "copy"))
    c.put_object_from_string(BUCKET, "many/1", b"x")
    c.delete_multiple_objects(BUCKET, ["many/1"])
    refused("NoSuchKey", lambda: c.get_object(BUCKET, "many/1"))


@check
def bos_listing():
    c = client()
    for i in range(5):
        c.put_object_from_string(BUCKET, f"list/{i} +%\x01/\u4e2d", b"x" * i)
    seen, marker = [], None
    while True:
        page = c.list_objects(BUCKET, prefix="list/", max_keys=2, marker=marker)
        seen += [(o.key, o.size) for o in page.contents]
        if not page.is_truncated:
            break
        # Without a delimiter the marker is the last key.
        marker = page.next_marker or page.contents[-1].key
    assert seen == [(f"list/{i} +%\x01/\u4e2d", i) for i in range(5)], seen
    folded = c.list_objects(BUCKET, prefix="list/", delimiter="/")
    assert [p.prefix for p in folded.common_prefixes] == [f"list/{i} +%\x01/" for i in range(5)]
    everything = [o.key for o in c.list_all_objects(BUCKET)]
    assert everything == in_order(everything) and set(KEYS) <= set(everything), everything


@check
def bos_multipart():
    c = client()
    up = c.initiate_multipart_upload(BUCKET, "mp", content_type="text/x-m").upload_id

    def part(n, body):
        put = c.upload_part(BUCKET, "mp", up, n, len(body), io.BytesIO(body))
        return {"partNumber": n, "eTag": put.metadata.etag}

    def complete(parts):
        return c.complete_multipart_upload(BUCKET, "mp", up, parts)
    parts = [part(1, b"a" * (100 << 10)), part(2, b"b" * (100 << 10)), part(3, b"c")]
    assert [(p.part_number, p.size) for p in c.list_all_parts(BUCKET, "mp", up)] == [(1, 100 << 10), (2, 100 << 10), (3, 1)]
    assert [u.key for u in c.list_all_multipart_uploads(BUCKET)] == ["mp"]
    refused("InvalidPartOrder", lambda: complete(parts[::-1]))
    refused("InvalidPart", lambda: complete([dict(parts[0], eTag="0")]))
    refused("EntityTooSmall", lambda: complete([parts[2], part(4, b"d")]))
    assert complete(parts).etag
    refused("NoSuchUpload", lambda: complete(parts))
    got = c.get_object(BUCKET, "mp")
    assert got.metadata.content_type == "text/x-m"
    assert got.data.read() == b"a" * (100 << 10) + b"b" * (100 << 10) + b"c"
    again = c.initiate_multipart_upload(BUCKET, "gone").upload_id
    c.abort_multipart_upload(BUCKET, "gone", again)
    refused("NoSuchUpload", lambda: c.list_parts(BUCKET, "gone", again))


@check
def bos_what_it_refuses():
    c = client()
    refused("SignatureDoesNotMatch", lambda: client("wrong").get_object(BUCKET, "plain"))
    refused("InvalidAccessKeyId", lambda: client(access="nobody").get_object(BUCKET, "plain"))
    refused("NoSuchBucket", lambda: c.list_objects("no-bucket"))
    refused("AccessDenied", lambda: c.list_objects("foreign-bucket"))
    refused("KeyTooLong", lambda: c.put_object_from_string(BUCKET, "k" * 1025, b"x"))
    refused("InvalidStorageClass", lambda: c.put_object_from_string(BUCKET, "m", b"x", storage_class="GLACIER"))
    real = bce_v1_signer.utils.get_canonical_time
    bce_v1_signer.utils.get_canonical_time = lambda t=0: real(1_500_000_000)
    try:
        refused("RequestExpired", lambda: c.get_object(BUCKET, "plain"))
    finally:
        bce_v1_signer.utils.get_canonical_time = real


def s3(region="bj", secret=None):
    import boto3
    from botocore.config import Config
    config = Config(s3={"addressing_style": "path"}, retries={"max_attempts": 1}, request_checksum_calculation="when_required",
                    response_checksum_validation="when_required")
    return boto3.client("s3", endpoint_url=SERVER["endpoint"], aws_access_key_id=SERVER["access"],
                        aws_secret_access_key=secret or SERVER["secret"], region_name=region, config=config)


def signed_for(region):
    """The answer to a listing that is signed for this region; boto3 itself would follow to the right one."""
    import requests
    from botocore.auth import S3SigV4Auth
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials
    request = AWSRequest("GET", f"{SERVER['endpoint']}/{BUCKET}")
    S3SigV4Auth(Credentials(SERVER["access"], SERVER["secret"]), "s3", region).add_auth(request)
    return requests.get(request.url, headers=dict(request.headers)).text


@check
def bos_both_apis_see_the_same_objects():
    c, b = s3(), client()
    put = c.put_object(Bucket=BUCKET, Key="both", Body=BODY, ContentType="text/x-a", Metadata={"color": "blue"})
    got = b.get_object(BUCKET, "both")
    assert got.data.read() == BODY and got.metadata.user_metadata == {"color": "blue"}
    got = c.get_object(Bucket=BUCKET, Key="with-crc")
    assert got["Body"].read() == BODY and put["ResponseMetadata"]["HTTPHeaders"]["x-amz-checksum-crc32"]
    listed = [o["Key"] for page in c.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, PaginationConfig={"PageSize": 3})
              for o in page["Contents"]]
    assert listed == in_order(listed) and set(KEYS) <= set(listed)
    assert "AuthorizationHeaderMalformed" in signed_for("gz") and "<Region>bj<" in signed_for("gz")
    refused("SignatureDoesNotMatch", lambda: s3(secret="wrong").list_objects_v2(Bucket=BUCKET))
    refused("InvalidURI", lambda: c.put_object(Bucket=BUCKET, Key="/begin", Body=b"x"))
    refused("MetadataTooLarge", lambda: c.put_object(Bucket=BUCKET, Key="m", Body=b"x", Metadata={"a": "x" * 2048}))
