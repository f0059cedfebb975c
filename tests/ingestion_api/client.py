"""A client as people have them: aiohttp, FormData, multipart wherever a file or a flag asks for it."""

import asyncio
import datetime
import hashlib
import json
import sys

import aiohttp

BASE, TOKEN = sys.argv[1], sys.argv[2]
TEXT = b"# Ropes\n\nHemp rots when it is stored wet.\n"


def form(multipart=False, **fields):
    data = aiohttp.FormData()
    for name, value in fields.items():
        # A content type makes it multipart in every version; older ones have no `default_to_multipart`.
        data.add_field(name, value, content_type="text/plain; charset=utf-8" if multipart else None)
    return data


async def main():
    headers = {"User-Agent": "soliplex-agent", "Authorization": f"Bearer {TOKEN}"}
    async with aiohttp.ClientSession(headers=headers) as session:

        async def ask(method, path, status, **more):
            async with session.request(method, BASE + path, **more) as response:
                body = await response.json()
                assert response.status == status, (method, path, response.status, body)
                return body

        for multipart in (False, True):
            made = await ask("POST", "/batch/", 201, data=form(multipart, source="py", name="ü name"))
        batch = made["batch_id"]

        hashes = {"docs/ropes ü.md": hashlib.sha256(TEXT).hexdigest()}
        asked = form(True, source="py", hashes=json.dumps(hashes))
        status = await ask("POST", "/source-status", 200, data=asked)
        assert status["docs/ropes ü.md"]["status"] == "new", status

        upload = form(
            source="py",
            source_uri="docs/ropes ü.md",
            batch_id=str(batch),
            doc_meta=json.dumps({"author": "Ann"}),
            mime_type="text/markdown",
        )
        upload.add_field("file", TEXT, filename="ropes ü.md", content_type="binary/octet-stream")
        stored = await ask("POST", "/document/ingest-document", 201, data=upload)
        assert stored["document_hash"] == "sha256-" + hashlib.sha256(TEXT).hexdigest(), stored
        asked = form(source="py", hashes=json.dumps(hashes))
        status = await ask("POST", "/source-status", 200, data=asked)
        assert status["docs/ropes ü.md"]["status"] == "match", status

        start = form(True, batch_id=str(batch), priority="0", param_id="default", workflow_definition_id="ingest")
        started = await ask("POST", "/batch/start-workflows", 201, data=start)
        assert started["workflows"] == 1, started
        loop = asyncio.get_running_loop()
        deadline = loop.time() + 60
        while True:
            state = await ask("GET", f"/batch/status?batch_id={batch}", 200)
            if state["remaining"] == 0:
                break
            assert loop.time() < deadline, state
            await asyncio.sleep(0.05)
        datetime.datetime.fromisoformat(state["batch"]["start_date"])

        put = form(True, commit_sha="abc", branch="main", metadata=json.dumps({"n": 1}))
        await ask("PUT", "/sync-state/gitea:admin:repo", 200, data=put)
        state = await ask("GET", "/sync-state/gitea:admin:repo", 200)
        assert datetime.datetime.fromisoformat(state["last_sync_date"]).tzinfo is None, state
        await ask("DELETE", "/sync-state/gitea:admin:repo", 200)

        gone = form(True, uri="docs/ropes ü.md", source="py")
        deleted = await ask("DELETE", "/document/by-uri", 200, data=gone)
        assert deleted["statistics"]["deleted_documents"] == 1, deleted
        again = {"uri": "docs/ropes ü.md", "source": "py"}
        await ask("DELETE", "/document/by-uri", 404, params=again)
    print("all is well")


asyncio.run(main())
