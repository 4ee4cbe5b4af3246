#!/bin/sh
# What the first version did, with its own tools and in its order: one client call after the other.
# $1 is the agent's image, $2 an image of the proxy alone. The agent writes one byte.
set -eu
name="bench-serial-$$"
dir=$(mktemp -d)
undo() {
    docker rm -f "$name" "$name-proxy" >/dev/null 2>&1
    docker network rm "$name-net" "$name-egress" >/dev/null 2>&1
    rm -r "$dir"
}
trap undo EXIT
printf 'version: 1\nbottle: bench\nlisten: 0.0.0.0:8888\n' >"$dir/guard.yaml"
touch "$dir/prompt"
docker network create --internal "$name-net" >/dev/null
docker network create "$name-egress" >/dev/null
docker create --name "$name-proxy" --network "$name-net" "$2" /egress-guard run --config /guard.yaml >/dev/null
docker cp "$dir/guard.yaml" "$name-proxy:/guard.yaml" >/dev/null
docker network connect "$name-egress" "$name-proxy"
docker start "$name-proxy" >/dev/null
docker run --detach --name "$name" --network "$name-net" --env "HTTPS_PROXY=http://$name-proxy:8888" "$1" sleep infinity >/dev/null
docker cp "$dir/prompt" "$name:/home/node/.claude-bottle-prompt.txt" >/dev/null
docker exec --user root "$name" chown node:node /home/node/.claude-bottle-prompt.txt
docker exec --interactive "$name" /bin/echo x
