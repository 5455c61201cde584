"""Google's own Python client against the Drive of our tests: python google_client.py BASE REFRESH

What it takes for granted is what we may take for granted; it stops at the first thing that the
Drive of our tests does differently.
"""

import hashlib
import io
import json
import os
import sys

import googleapiclient
from google.oauth2.credentials import Credentials
from googleapiclient.discovery import build_from_document
from googleapiclient.errors import HttpError
from googleapiclient.http import MediaIoBaseDownload, MediaIoBaseUpload

BASE, REFRESH = sys.argv[1:3]
CHUNK = 512 * 1024
FIELDS = "id,name,size,md5Checksum,sha256Checksum,parents,appProperties,trashed"


def service():
    documents = os.path.join(os.path.dirname(googleapiclient.__file__), "discovery_cache")
    with open(os.path.join(documents, "documents", "drive.v3.json"), encoding="utf-8") as file:
        document = json.load(file)
    document["rootUrl"] = BASE + "/"
    document["baseUrl"] = BASE + "/drive/v3/"
    # The token is stale, so that the first call has to renew it.
    credentials = Credentials(
        "stale",
        refresh_token=REFRESH,
        token_uri=BASE + "/token",
        client_id="4711-desktop.apps.googleusercontent.com",
        client_secret="not-really-secret",
    )
    return build_from_document(document, credentials=credentials)


def refused(status, call):
    try:
        call()
    except HttpError as error:
        assert error.resp.status == status, error
        return
    raise AssertionError(f"no {status}")


def upload(files, file_id, parent, content):
    media = MediaIoBaseUpload(
        io.BytesIO(content), "application/octet-stream", chunksize=CHUNK, resumable=True
    )
    body = {"id": file_id, "name": "pack", "parents": [parent], "appProperties": {"object": "x"}}
    request = files.create(body=body, media_body=media, fields=FIELDS)
    answer = None
    while answer is None:
        try:
            _, answer = request.next_chunk()
        except HttpError as error:
            # The next call asks how far the session got.
            if error.resp.status != 503:
                raise
    return answer


def download(files, file_id):
    content = io.BytesIO()
    reader = MediaIoBaseDownload(content, files.get_media(fileId=file_id), chunksize=300_000)
    done = False
    while not done:
        _, done = reader.next_chunk()
    return content.getvalue()


def main():
    drive = service()
    files = drive.files()
    folder = files.create(
        body={"name": "folder", "mimeType": "application/vnd.google-apps.folder"}, fields="id"
    ).execute()["id"]
    ids = files.generateIds(count=3, space="drive", type="files").execute()["ids"]
    assert len(set(ids)) == 3

    content = os.urandom(4 * CHUNK + 17)
    made = upload(files, ids[0], folder, content)
    assert made["id"] == ids[0] and int(made["size"]) == len(content), made
    assert made["md5Checksum"] == hashlib.md5(content).hexdigest()
    assert made["sha256Checksum"] == hashlib.sha256(content).hexdigest()
    assert download(files, ids[0]) == content
    refused(409, lambda: upload(files, ids[0], folder, b"x" * CHUNK))
    refused(404, lambda: files.get(fileId="absent").execute())
    refused(400, lambda: files.list(q="no such term = 'x'").execute())

    small = MediaIoBaseUpload(io.BytesIO(content[:1000]), "application/octet-stream")
    files.create(body={"id": ids[1], "name": "b", "parents": [folder]}, media_body=small).execute()
    assert download(files, ids[1]) == content[:1000]

    listed, request = [], files.list(q=f"'{folder}' in parents and trashed = false", pageSize=1)
    while request is not None:
        page = request.execute()
        assert not page["incompleteSearch"]
        listed += [file["id"] for file in page["files"]]
        request = files.list_next(request, page)
    assert sorted(listed) == sorted(ids[:2]), listed

    files.update(fileId=ids[1], body={"trashed": True}).execute()
    assert files.get(fileId=ids[1], fields="trashed").execute()["trashed"]
    files.delete(fileId=ids[1]).execute()
    refused(404, lambda: files.delete(fileId=ids[1]).execute())
    about = drive.about().get(fields="storageQuota,user").execute()
    assert int(about["storageQuota"]["usage"]) == len(content), about
    refused(400, lambda: drive.about().get().execute())
    print("Google's Python client: all as it expects")


main()
