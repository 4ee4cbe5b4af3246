#!/bin/sh
# Makes the rest of the world in a network namespace of its own: a network with nobody in it but this very namespace, at addresses
# for documentation (https://www.rfc-editor.org/rfc/rfc5737).
set -eu
ip link set lo up
ip link add world type bridge
ip link set world up
ip address add 198.51.100.7/24 dev world
ip address add 2001:db8::7/64 dev world nodad
ip route add default via 198.51.100.1
