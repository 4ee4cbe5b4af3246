# A Git server over HTTPS on the address $1, for the name $2.
# It says its port, its certificate and `ready`, and serves until its input ends.
set -eu
mkdir /tmp/fixture && cd /tmp/fixture
# An authority would not be taken for a host by every client.
printf '[req]\ndistinguished_name = name\nx509_extensions = host\n[name]\n[host]\nbasicConstraints = CA:FALSE\nsubjectAltName = DNS:%s\n' "$2" >host.cnf
openssl req -x509 -config host.cnf -newkey ec -pkeyopt ec_paramgen_curve:P-256 -noenc -days 2 -subj "/CN=$2" \
  -keyout key.pem -out cert.pem 2>/dev/null
git init -q --bare -b main repositories/project.git
git -C repositories/project.git config http.receivepack true
git init -q -b main work && cd work
echo 'from the fixture' >file.txt
git add file.txt
git -c user.name=Fixture -c user.email=fixture@example.test commit -qm 'add a file'
git push -q ../repositories/project.git main
cd ..
exec node -e '
const { spawn } = require("child_process");
const { readFileSync } = require("fs");
const cert = readFileSync("cert.pem");
const server = require("https").createServer({ key: readFileSync("key.pem"), cert }, (request, response) => {
  const url = new URL(request.url, "https://fixture");
  const cgi = spawn("git", ["http-backend"], { env: {
    PATH: process.env.PATH, GIT_PROJECT_ROOT: "/tmp/fixture/repositories", GIT_HTTP_EXPORT_ALL: "1",
    PATH_INFO: url.pathname, QUERY_STRING: url.search.slice(1), REQUEST_METHOD: request.method, REMOTE_ADDR: "bottle",
    CONTENT_TYPE: request.headers["content-type"] ?? "", CONTENT_LENGTH: request.headers["content-length"] ?? "",
    HTTP_CONTENT_ENCODING: request.headers["content-encoding"] ?? "", GIT_PROTOCOL: request.headers["git-protocol"] ?? "",
  } });
  request.pipe(cgi.stdin).on("error", () => {});
  const chunks = [];
  cgi.stdout.on("data", (chunk) => chunks.push(chunk)).on("end", () => {
    const answer = Buffer.concat(chunks);
    const end = answer.indexOf("\r\n\r\n");
    for (const line of answer.subarray(0, end).toString().split("\r\n")) {
      const [name, value] = line.split(/: (.*)/);
      if (name === "Status") response.statusCode = parseInt(value, 10);
      else response.setHeader(name, value);
    }
    response.end(answer.subarray(end + 4));
  });
});
server.listen(0, process.argv[1], () => console.log(`${server.address().port}\n${cert}ready`));
process.stdin.resume().on("end", () => process.exit());
' "$1"
