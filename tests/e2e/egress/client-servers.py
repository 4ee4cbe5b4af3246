"""What clients of the registries talk to: pages and WebSockets, plain and over TLS, a repository of apt, and gRPC over TLS.

Serves on the address of the first argument, for the names of the others. Says its three ports, its certificate and `ready`, and serves until
its standard input ends.
"""
import asyncio
import hashlib
import ssl
import subprocess
import sys
import tempfile

import grpc
from aiohttp import WSMsgType, web

ADDRESS, *NAMES = sys.argv[1:]
PACKAGES = b"Package: nothing\nVersion: 1\nArchitecture: all\nFilename: ./nothing.deb\nSize: 1\n\n"


async def page(_request):
    return web.Response(text="page\n")


async def echo(request):
    socket = web.WebSocketResponse()
    await socket.prepare(request)
    async for message in socket:
        if message.type == WSMsgType.TEXT:
            await socket.send_str(message.data)
    return socket


async def release(_request):
    digest = hashlib.sha256(PACKAGES).hexdigest()
    return web.Response(text=f"Suite: stable\nArchitectures: amd64 arm64\nSHA256:\n {digest} {len(PACKAGES)} Packages\n")


async def packages(_request):
    return web.Response(body=PACKAGES)


class Echo(grpc.GenericRpcHandler):
    def service(self, details):
        async def every(requests, context):
            context.set_trailing_metadata((("word", "said"),))
            async for request in requests:
                yield request

        if details.method == "/test.Echo/All":
            return grpc.stream_stream_rpc_method_handler(every)
        if details.method != "/test.Echo/Say":
            return None

        async def say(request, _context):
            return request

        return grpc.unary_unary_rpc_method_handler(say)


def certificate():
    key, chain = (tempfile.NamedTemporaryFile().name for _ in range(2))
    make = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-noenc", "-days", "2"]
    # Rustls takes no certificate of an authority for a server's.
    others = ",".join(f"DNS:{name}" for name in NAMES)
    names = ["-subj", f"/CN={NAMES[0]}", "-addext", f"subjectAltName={others}", "-addext", "basicConstraints=critical,CA:FALSE"]
    subprocess.run(make + names + ["-keyout", key, "-out", chain], check=True, stderr=subprocess.DEVNULL)
    return key, chain


async def main():
    key, chain = certificate()
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(chain, key)
    site = web.Application()
    site.add_routes([web.get("/", page), web.get("/echo", echo), web.get("/{directory:.*}Release", release),
                     web.get("/{directory:.*}Packages", packages)])
    runner = web.AppRunner(site)
    await runner.setup()
    for context in (None, tls):
        await web.TCPSite(runner, ADDRESS, 0, ssl_context=context).start()
    ports = [place[1] for place in runner.addresses]
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((Echo(),))
    with open(key, "rb") as key_file, open(chain, "rb") as chain_file:
        pem = chain_file.read()
        credentials = grpc.ssl_server_credentials([(key_file.read(), pem)])
    ports.append(server.add_secure_port(f"{ADDRESS}:0", credentials))
    await server.start()
    print(*ports, flush=True)
    print(pem.decode().strip(), flush=True)
    print("ready", flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


asyncio.run(main())
