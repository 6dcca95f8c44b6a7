#!/usr/bin/env python3
"""What only the vendor's library makes: kinds of blobs, shared access signatures, public containers.

  azure_world.py kinds|sas|short|forged|public|claims ENDPOINT ACCOUNT KEY
"""
import hashlib
import sys
from datetime import datetime, timedelta, timezone

from azure.storage.blob import (BlobBlock, BlobServiceClient, ContainerSasPermissions, ContentSettings,
                                StandardBlobTier, generate_container_sas)


def main(verb, endpoint, account, key):
    service = BlobServiceClient(endpoint, credential={"account_name": account, "account_key": key})
    container = service.get_container_client("bucket")

    def sas(seconds, key=key):
        return generate_container_sas(account, "bucket", account_key=key, permission=ContainerSasPermissions(
            read=True, list=True), expiry=datetime.now(timezone.utc) + timedelta(seconds=seconds))

    if verb == "kinds":
        append = container.get_blob_client("append")
        append.create_append_blob()
        append.append_block(b"first ")
        append.append_block(b"second")
        page = container.get_blob_client("page")
        page.create_page_blob(512)
        page.upload_page(b"p" * 512, 0, 512)
        snapped = container.get_blob_client("snapped")
        snapped.upload_blob(b"before")
        snapped.create_snapshot()
        snapped.upload_blob(b"now", overwrite=True)
        container.get_blob_client("folder").upload_blob(b"", metadata={"hdi_isfolder": "true"})
        container.get_blob_client("folder/in").upload_blob(b"in")
        container.get_blob_client("cold").upload_blob(b"cold", standard_blob_tier=StandardBlobTier.ARCHIVE)
    elif verb == "sas":
        print(sas(3600))
    elif verb == "short":
        print(sas(8))
    elif verb == "forged":
        print(sas(3600, "c29tZXRoaW5nIGVsc2U="))
    elif verb == "claims":
        # Other bytes than the MD5 says that they are: the service keeps it and does not compare.
        for name, content, claim in (("good", b"content", b"content"), ("forged", b"tnetnoc", b"content")):
            blob = container.get_blob_client(name)
            blob.stage_block("YQ==", content)
            blob.commit_block_list([BlobBlock("YQ==")], content_settings=ContentSettings(
                content_type="text/plain", content_md5=bytearray(hashlib.md5(claim).digest())))
    elif verb == "public":
        public = service.create_container("public", public_access="container")
        public.upload_blob("x", b"x")


if __name__ == "__main__":
    main(*sys.argv[1:])
