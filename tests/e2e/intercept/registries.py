"""What programs that publish talk to, over TLS: a forge with its API, and the registries of npm, PyPI and crates.io.

Serves on the loopback for the names of its arguments. What is published it keeps, and gives out again. A request that changes something, and each of
the forge, is answered 401 unless it comes with a credential that is no placeholder. Says its port, its certificate and `ready`, then a line of
JSON for each request, and serves until its standard input ends.
"""
import base64
import hashlib
import http.server
import json
import os
import re
import ssl
import subprocess
import sys
import tempfile
import threading

NAMES = sys.argv[1:]
TREES = tempfile.mkdtemp()
PACKAGES, WHEELS, INDEX, CRATES = {}, {}, {}, {}
SAYING = threading.Lock()


def answer_npm(request, path, body):
    if path == "/-/whoami":
        return 200, {"username": "bottle"}
    if request.command == "PUT":
        package = json.loads(body)
        PACKAGES[package["name"]] = package
        return 201, {"ok": True, "success": True}
    name, _, file = path[1:].partition("/-/")
    package = PACKAGES.get(name)
    if package is None:
        return 404, {"error": "not found"}
    if file:
        return 200, base64.b64decode(package["_attachments"][file]["data"])
    for version in package["versions"].values():
        version["dist"]["tarball"] = f"https://registry.npmjs.org/{name}/-/{name}-{version['version']}.tgz"
    return 200, {key: value for key, value in package.items() if key != "_attachments"}


def answer_pypi(request, path, body):
    if request.command == "POST":
        mark = b"--" + re.search(r"boundary=\"?([^\";]+)", request.headers["content-type"])[1].encode()
        for part in body.split(b"\r\n" + mark):
            head, _, content = part.partition(b"\r\n\r\n")
            if name := re.search(rb'filename="([^"]+\.whl)"', head):
                WHEELS[name[1].decode()] = content
        return 200, b"ok"
    if path.startswith("/files/"):
        return 200, WHEELS[path.rpartition("/")[2]]
    links = "".join(f'<a href="https://pypi.org/files/{name}">{name}</a>' for name in WHEELS)
    return (200 if WHEELS else 404), f"<!doctype html><html><body>{links}</body></html>".encode()


def answer_crates(request, path, body):
    if path == "/config.json":
        return 200, {"dl": "https://crates.io/files", "api": "https://crates.io"}
    if request.command == "PUT":
        size = int.from_bytes(body[:4], "little")
        crate, file = json.loads(body[4:4 + size]), body[8 + size:]
        checksum = hashlib.sha256(file).hexdigest()
        line = {"name": crate["name"], "vers": crate["vers"], "deps": [], "cksum": checksum, "features": {}, "yanked": False}
        INDEX[crate["name"]], CRATES[crate["name"]] = line, file
        return 200, {"warnings": {"invalid_categories": [], "invalid_badges": [], "other": []}}
    if path.startswith("/files/"):
        return 200, CRATES[path.split("/")[2]]
    line = INDEX.get(path.rpartition("/")[2])
    return (404, b"") if line is None else (200, json.dumps(line).encode() + b"\n")


def answer_git(request, path, body):
    path, _, query = path.partition("?")
    headers = request.headers
    variables = {
        "PATH": os.environ["PATH"], "GIT_PROJECT_ROOT": TREES, "GIT_HTTP_EXPORT_ALL": "1", "PATH_INFO": path, "QUERY_STRING": query,
        "REQUEST_METHOD": request.command, "REMOTE_ADDR": "bottle", "CONTENT_TYPE": headers.get("content-type", ""),
        "CONTENT_LENGTH": str(len(body)), "HTTP_CONTENT_ENCODING": headers.get("content-encoding", ""),
        "GIT_PROTOCOL": headers.get("git-protocol", ""),
    }
    said = subprocess.run(["git", "http-backend"], input=body, env=variables, stdout=subprocess.PIPE, check=True).stdout
    head, _, content = said.partition(b"\r\n\r\n")
    lines = dict(line.split(": ", 1) for line in head.decode().split("\r\n"))
    return int(lines.pop("Status", "200")[:3]), content, lines


def answer_api(_request, path, _body):
    return (200, {"login": "bottle", "id": 1}) if path == "/user" else (404, {})


class Request(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def body(self):
        if self.headers.get("transfer-encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("content-length", 0)))
        pieces = []
        while size := int(self.rfile.readline(), 16):
            pieces.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(pieces)

    def answer(self):
        host, body, credential = self.headers["host"], self.body(), self.headers.get("authorization")
        known = credential is not None and "placeholder-for-" not in credential
        if known and credential.startswith("Basic "):
            known = b"placeholder-for-" not in base64.b64decode(credential[6:])
        said = {"host": host, "method": self.command, "path": self.path, "authorization": credential, "length": len(body)}
        with SAYING:
            print(json.dumps(said), flush=True)
        if not known and (self.command in ("PUT", "POST") or host in ("github.com", "api.github.com") or self.path == "/-/whoami"):
            return self.say(401, b"", {"WWW-Authenticate": 'Basic realm="fixture"'})
        way = {"github.com": answer_git, "api.github.com": answer_api, "registry.npmjs.org": answer_npm}
        way = answer_crates if host.endswith("crates.io") else way.get(host, answer_pypi)
        status, content, *more = way(self, self.path, body)
        self.say(status, content, *more)

    def say(self, status, content, headers=None):
        kind = "text/html"
        if not isinstance(content, bytes):
            kind, content = "application/json", json.dumps(content).encode()
        self.send_response(status)
        for name, value in ({"Content-Type": kind} | (headers or {})).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_HEAD = do_POST = do_PUT = answer

    def log_message(self, *_):
        pass


def certificate():
    key, chain = (os.path.join(TREES, name) for name in ("key.pem", "chain.pem"))
    make = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-noenc", "-days", "2"]
    others = ",".join(f"DNS:{name}" for name in NAMES)
    # Rustls takes no certificate of an authority for a server's.
    names = ["-subj", f"/CN={NAMES[0]}", "-addext", f"subjectAltName={others}", "-addext", "basicConstraints=critical,CA:FALSE"]
    subprocess.run(make + names + ["-keyout", key, "-out", chain], check=True, stderr=subprocess.DEVNULL)
    return key, chain


subprocess.run(["git", "init", "-q", "--bare", "-b", "main", f"{TREES}/project.git"], check=True)
subprocess.run(["git", "-C", f"{TREES}/project.git", "config", "http.receivepack", "true"], check=True)
KEY, CHAIN = certificate()
TLS = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
TLS.load_cert_chain(CHAIN, KEY)


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def finish_request(self, request, client_address):
        # The handshake is this connection's alone, and does not hold up the next one.
        with TLS.wrap_socket(request, server_side=True) as stream:
            super().finish_request(stream, client_address)

    def handle_error(self, *_):
        pass


with Server(("127.0.0.1", 0), Request) as server:
    print(server.server_address[1])
    with open(CHAIN, encoding="ascii") as file:
        print(file.read().strip())
    print("ready", flush=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    sys.stdin.read()
    server.shutdown()
