#!/usr/bin/env bash
# Runs a command whose docker engine is the machine's own, reached by ssh: through an sshd of this script's own on the loopback.
#
#   tests/over-ssh.sh COMMAND…
#   tests/over-ssh.sh cargo test -p claude-bottle --test e2e -- headless forward
#
# `ssh` itself, not the environment, says where a user's configuration is, so a program of that name comes first on the search path.
set -euo pipefail

work=$(mktemp -d)
mkdir -p "$work/bin"
sshd_pid=
end() {
  [ -z "$sshd_pid" ] || kill "$sshd_pid" 2>/dev/null || true
  rm -rf "$work"
}
trap end EXIT

ssh=$(command -v ssh)
sshd=$(PATH=$PATH:/usr/sbin:/sbin command -v sshd)
socket=${DOCKER_HOST:-unix:///var/run/docker.sock}
socket=${socket#unix://}
ssh-keygen -q -t ed25519 -N '' -f "$work/host"
ssh-keygen -q -t ed25519 -N '' -f "$work/key"
[ "$(id -u)" != 0 ] || mkdir -p /run/sshd

port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
cat >"$work/sshd_config" <<END
ListenAddress 127.0.0.1
Port $port
HostKey $work/host
AuthorizedKeysFile $work/key.pub
AuthenticationMethods publickey
PermitRootLogin prohibit-password
PidFile none
StrictModes no
UsePAM no
MaxStartups 100
MaxSessions 100
SetEnv PATH=$PATH
END
cat >"$work/config" <<END
Host claude-bottle-over-ssh
  HostName 127.0.0.1
  Port $port
  User $(id -un)
  IdentityFile $work/key
  IdentitiesOnly yes
  UserKnownHostsFile $work/known_hosts
  GlobalKnownHostsFile none
END
echo "[127.0.0.1]:$port $(cut -d' ' -f1,2 "$work/host.pub")" >"$work/known_hosts"
printf '#!/bin/sh\nexec %s -F %s/config "$@"\n' "$ssh" "$work" >"$work/bin/ssh"
chmod +x "$work/bin/ssh"

mkfifo "$work/said"
"$sshd" -D -e -f "$work/sshd_config" 2>"$work/said" &
sshd_pid=$!
exec 3<"$work/said"
while read -r line <&3; do
  case $line in *"Server listening on"*) break ;; esac
done
cat <&3 >/dev/null &

export PATH="$work/bin:$PATH" DOCKER_HOST="ssh://claude-bottle-over-ssh$socket"
"$@"
